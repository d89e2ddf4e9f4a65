external = ["ens+"]
services = {
  postgres = { ports = [5432], clients = ["10.8.0.0/16"] }
  redis    = { ports = [6379], clients = ["10.8.1.0/24", "10.8.2.0/24"] }
}
