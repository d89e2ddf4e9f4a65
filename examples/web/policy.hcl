# A public web host. The admin port is the office's; anything else from outside
# is denied, published or not.
host {
  external = ["eth0"]
  unlisted = "deny"
}

set "office" {
  sources = ["198.51.100.0/24", "2001:db8:40::/48"]
}

policy "web" {
  description = "The public site, HTTP/3 included"
  ports       = [80, 443, "443/udp"]
  allow { sources = any }
}

policy "admin" {
  description = "The site's back office"
  ports       = [9443]
  allow { sources = [set.office] }
}

test "everybody reads the site" {
  to    = [80, 443, "443/udp"]
  allow = any
}

test "only the office administers it" {
  to    = [9443]
  allow = ["198.51.100.0/24", "2001:db8:40::/48"]
  deny  = ["198.51.99.255", "198.51.101.0", "2001:db8:41::/48"]
}

test "a port that no policy names is closed" {
  to   = [8080, "8080/udp"]
  deny = any
}
