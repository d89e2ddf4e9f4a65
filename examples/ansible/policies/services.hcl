set "monitoring" {
  sources = ["192.0.2.10", "192.0.2.11", "2001:db8:10::/64"]
}

policy "service" {
  for_each = var.services
  ports    = each.value.ports

  dynamic "deny" {
    for_each = length(var.blocked) > 0 ? [var.blocked] : []
    content { sources = deny.value }
  }

  allow { sources = each.value.clients }
}

policy "node-exporter" {
  ports = [9100]
  allow { sources = [set.monitoring] }
}

test "monitoring sees every host" {
  to    = [9100]
  allow = ["192.0.2.10", "2001:db8:10::/64"]
  deny  = ["192.0.2.12", "198.51.100.1"]
}
