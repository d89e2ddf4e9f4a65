# Imported from the chain forward of the table inet filter.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "deny"
  established    = "keep"
  related        = "keep"
  userland_proxy = false
}

policy "443-tcp" {
  ports = ["443/tcp", "53/udp"]
  allow {
    sources = any
  }
}

policy "2222-tcp" {
  ports = ["2222/tcp"]
  allow {
    sources = ["192.0.2.1", "198.51.100.0/24"]
  }
}
