# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "deny"
  established    = "keep"
  related        = "keep"
  userland_proxy = false
}

guard {
  allow {
    sources = ["192.0.2.0/24", "198.51.100.7"]
  }
}
