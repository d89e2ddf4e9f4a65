# A router that also runs containers. Docker sets the policy of FORWARD to DROP;
# what the host routes for others has to be accepted here.
host {
  external       = ["wan0"]
  unlisted       = "deny"
  userland_proxy = false # daemon.json says so too
}

forward "lan-to-internet" {
  from    = "lan0"
  to      = "wan0"
  sources = ["10.20.0.0/16", "2001:db8:20::/48"]
}

forward "vpn-to-files" {
  from         = "wg0"
  to           = "lan0"
  sources      = ["10.99.0.0/24"]
  destinations = ["10.20.0.5", "10.20.0.6"]
}

policy "vpn-portal" {
  ports = [443]
  allow { sources = any }
}

policy "status" {
  ports = [8080]
  allow {
    sources = ["198.51.100.0/24"]
    accept  = true
  }
}

test "the portal is public, the status page is not" {
  to    = [443]
  allow = any
}

test "status" {
  to    = [8080]
  allow = ["198.51.100.0/24"]
  deny  = ["198.51.101.1", "::/0"]
}
