# Imported from the table inet first and the table inet later.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

guard {
  deny {
    sources = ["192.0.2.64/26"]
  }
}

policy "8080-tcp" {
  ports = ["8080/tcp"]
  allow {
    sources = ["192.0.2.0/24"]
  }
}
