# Imported from the table ip fw and the table ip6 fw.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["ens3"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "8443-tcp" {
  ports = ["8443/tcp"]
  allow {
    sources = ["192.0.2.0/25", "192.0.2.200", "2001:db8:40::/48"]
  }
}
