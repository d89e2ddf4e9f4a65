# Imported from the table ip firewall.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "5433-tcp" {
  ports   = ["5433/tcp"]
  address = ["198.51.100.2"]
  default = "reject"
  allow {
    sources = ["10.8.0.0/16", "192.0.2.0/24"]
  }
}
