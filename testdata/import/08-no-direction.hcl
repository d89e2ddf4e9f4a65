# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["+"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "8080-tcp" {
  ports = ["8080/tcp"]
  allow {
    sources = ["192.0.2.0/24"]
  }
}
