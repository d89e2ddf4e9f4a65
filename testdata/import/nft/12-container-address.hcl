# Imported from the table ip filter-docker.
# docker-proxy's way in, over the hook input, is not closed there: userland_proxy = true
# closes it as well.
host {
  external       = ["eth0"]
  unlisted       = "allow"
  established    = "keep"
  related        = "keep"
  userland_proxy = false
  log_limit      = "5/minute"
}

policy "shop" {
  ports = ["8080/tcp"]
  deny {
    sources = ["0.0.0.0/0"]
    except  = ["192.0.2.0/24"]
    log     = "shop"
  }
  allow {
    sources = ["0.0.0.0/0"]
  }
}
