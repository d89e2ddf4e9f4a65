# Imported from the table inet docker-rules.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  established    = "keep"
  related        = "keep"
  userland_proxy = false
}

policy "shop" {
  ports = ["8080/tcp"]
  allow {
    sources = ["192.0.2.0/24", "198.51.100.7"]
  }
}
