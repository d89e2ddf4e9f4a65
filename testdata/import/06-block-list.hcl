# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

guard {
  deny {
    sources = ["192.0.2.10/31", "192.0.2.12/30", "192.0.2.16/30", "192.0.2.20", "203.0.113.0/24"]
  }
}
