# Imported from DOCKER-USER. docker-proxy's way in, over the host's INPUT, is not in
# that chain: userland_proxy = true closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

set "list-1" {
  sources = ["10.8.0.0/16", "198.51.100.0/24"]
}

policy "postgres-for-the-vpn" {
  ports = ["5432/tcp"]
  allow {
    sources = [set.list-1]
  }
}

policy "9000-9010-tcp" {
  ports   = ["9000-9010/tcp"]
  default = "reject"
  allow {
    sources = [set.list-1]
  }
}
