# Imported from the table inet bans.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

guard {
  deny {
    sources = ["198.51.100.66", "203.0.113.0/24", "2001:db8:bad::/48"]
  }
}
