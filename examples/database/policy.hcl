# A database that is published on one address of the host. The application
# servers use it; one of their machines must not, and its tries are logged.
host {
  external    = ["eth0"]
  unlisted    = "deny"
  established = "keep" # a change of the policy does not cut running sessions
}

set "apps" {
  sources = ["10.8.0.0/16", "2001:db8:8::/48"]
  except  = ["10.8.13.0/24"] # the guests' network
}

policy "postgres" {
  ports   = [5432]
  address = ["203.0.113.7", "2001:db8::7"]
  deny {
    sources = ["10.8.9.4"]
    log     = "pg-denied"
  }
  allow { sources = [set.apps] }
}

test "the application servers reach the database" {
  to    = ["203.0.113.7:5432", "[2001:db8::7]:5432"]
  allow = ["10.8.0.0/21", "2001:db8:8::/48"]
  deny  = ["10.8.9.4", "10.8.13.0/24", "10.9.0.0/16", "2001:db8:9::/48"]
}

test "on another address of the host nobody does" {
  to   = ["203.0.113.8:5432"]
  deny = any
}
