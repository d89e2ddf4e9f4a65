external = ["eth0"]
blocked  = ["203.0.113.0/24"]
services = {
  site = { ports = [80, 443] }
}
