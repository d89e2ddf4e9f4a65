# Imported from the table inet filter.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["+"]
  internal       = ["br-+", "docker0"]
  unlisted       = "deny"
  established    = "keep"
  related        = "keep"
  invalid        = "deny"
  userland_proxy = false
}

policy "443-tcp" {
  ports = ["443/tcp"]
  allow {
    sources = any
  }
}

policy "5432-tcp" {
  ports = ["5432/tcp"]
  allow {
    sources = ["10.8.0.0/16"]
  }
}

policy "51820-udp" {
  ports = ["51820/udp"]
  allow {
    sources = ["2001:db8:40::/48"]
  }
}
