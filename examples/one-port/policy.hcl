# The smallest useful policy: port 8080 for one address, and nobody else.
host {
  external = ["eth0"]
  unlisted = "allow"
}

policy "admin" {
  ports = [8080]
  allow { sources = ["192.168.0.1"] }
}

test "only the one address gets in" {
  to    = [8080]
  allow = ["192.168.0.1"]
  deny  = ["192.168.0.0", "192.168.0.2-255.255.255.255", "::/0"]
}
