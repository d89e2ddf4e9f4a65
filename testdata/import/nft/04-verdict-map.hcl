# Imported from the table inet services.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "postgres" {
  ports   = ["5432/tcp"]
  default = "reject"
  allow {
    sources = ["198.51.100.0/24", "203.0.113.16/28", "2001:db8:40::/48"]
  }
}

policy "nobody" {
  ports = ["6379/tcp"]
}
