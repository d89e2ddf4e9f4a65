# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "9100-tcp" {
  ports   = ["9100/tcp"]
  default = "reject"
  allow {
    sources = ["192.0.2.9"]
    accept  = true
  }
}

policy "161-udp" {
  ports = ["161/udp"]
}
