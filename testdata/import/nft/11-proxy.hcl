# Imported from the table inet published.
host {
  external = ["eth0"]
  unlisted = "allow"
}

policy "9443-tcp" {
  ports = ["9443/tcp"]
  allow {
    sources = ["192.0.2.10/31"]
  }
}
