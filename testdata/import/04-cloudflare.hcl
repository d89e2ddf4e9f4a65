# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "80-tcp" {
  ports = ["80/tcp", "443/tcp"]
  allow {
    sources = ["103.21.244.0/22", "103.22.200.0/22", "108.162.192.0/18", "141.101.64.0/18", "173.245.48.0/20", "190.93.240.0/20"]
  }
}
