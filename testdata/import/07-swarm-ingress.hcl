# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "443-tcp" {
  ports   = ["443/tcp"]
  address = ["203.0.113.7"]
  allow {
    sources = ["198.51.100.10/31"]
  }
}
