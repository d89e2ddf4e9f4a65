# Imported from the table inet limits.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}

policy "5432-tcp" {
  ports = ["5432/tcp"]
  allow {
    sources = ["10.8.0.0/16", "::/0"]
  }
}
