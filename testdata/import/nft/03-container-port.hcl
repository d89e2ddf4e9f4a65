# Imported from the table inet firewall.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  established    = "keep"
  related        = "keep"
  userland_proxy = false
}

policy "5432-tcp" {
  ports   = ["5432/tcp"]
  address = ["127.0.0.1"]
  allow {
    sources = ["192.0.2.0/24"]
  }
}

policy "5433-tcp" {
  ports   = ["5433/tcp"]
  address = ["198.51.100.2"]
  allow {
    sources = ["192.0.2.0/24"]
  }
}

policy "8080-tcp" {
  ports = ["8080/tcp", "8443/tcp", "9000/tcp"]
  allow {
    sources = ["192.0.2.0/24", "::/0"]
  }
}
