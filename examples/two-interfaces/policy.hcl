# A host with a leg on the internet (eth0) and one in the company's network
# (eth1). The site is public, its metrics are for the company's network alone,
# and there only for the monitoring hosts.
host {
  external = ["eth0", "eth1"]
  unlisted = "reject"
}

policy "site" {
  ports = [80, 443]
  allow { sources = any }
}

policy "metrics" {
  ports    = ["9100-9110"]
  external = ["eth1"]
  allow { sources = ["172.20.5.0/24", "fd12:3456:789a:5::/64"] }
}

policy "metrics-of-the-proxy" {
  description = "Inside the range above, and so decided here"
  ports       = [9105]
  external    = ["eth1"]
  allow { sources = ["172.20.5.10"] }
}

test "metrics from the company's network" {
  to       = [9100, 9110]
  external = "eth1"
  allow    = ["172.20.5.0/24", "fd12:3456:789a:5::/64"]
  deny     = ["172.20.6.0/24"]
}

test "the proxy's metrics are for one host" {
  to       = [9105]
  external = "eth1"
  allow    = ["172.20.5.10"]
  deny     = ["172.20.5.11", "fd12:3456:789a:5::/64"]
}

test "no metrics on the internet" {
  to   = [9100, 9105]
  deny = any
}
