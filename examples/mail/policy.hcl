# A mail host. A list file names networks that must reach nothing on it; their
# tries are logged. Submission and mailboxes are open to everybody else.
host {
  external  = ["eth0"]
  unlisted  = "deny"
  log_limit = "5/minute"
}

set "blocked" {
  files  = ["blocklist.txt"]
  except = ["203.0.113.25"] # a relay of ours within a blocked network
}

guard {
  deny {
    sources = [set.blocked]
    log     = "blocklist"
  }
}

policy "smtp" {
  ports = [25]
  allow { sources = any }
}

policy "mailboxes" {
  ports = [465, 587, 993]
  allow { sources = any }
}

policy "statistics" {
  description = "The mail queue's numbers, for the monitoring host"
  ports       = [9154]
  default     = "reject"
  allow { sources = ["192.0.2.10", "2001:db8:10::10"] }
}

test "everybody sends mail, but for the blocklist" {
  to    = [25, 587]
  allow = ["8.8.8.8", "203.0.113.25", "2001:db8:10::10"]
  deny  = ["203.0.113.0-203.0.113.24", "203.0.113.26-203.0.113.255", "198.51.100.66", "2001:db8:bad::/48"]
}
