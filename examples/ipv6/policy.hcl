# A host that is reached over IPv6 above all. Who is named by an IPv4 address
# only is denied over IPv6, and the other way round: both families are always
# compiled.
host {
  external = ["eth0"]
  unlisted = "deny"
}

locals {
  site    = "2001:db8:100::/40"
  campus  = [for n in [1, 2, 3] : cidrsubnet(local.site, 8, n)]
  printer = "${cidrhost(cidrsubnet(local.site, 8, 2), 13)}"
}

policy "api" {
  ports = [8443]
  allow {
    sources = [local.campus]
    except  = [local.printer]
  }
}

policy "legacy-api" {
  description = "An old client that speaks IPv4 only"
  ports       = [8080]
  allow { sources = ["192.0.2.44"] }
}

test "the campus reaches the API, its printer does not" {
  to    = [8443]
  allow = ["2001:db8:101::/48", "2001:db8:102::-2001:db8:102::c", "2001:db8:102::e-2001:db8:102:ffff:ffff:ffff:ffff:ffff", "2001:db8:103::/48"]
  deny  = ["2001:db8:102::d", "2001:db8:104::/48", "0.0.0.0/0"]
}

test "the old client and nobody over IPv6" {
  to    = [8080]
  allow = ["192.0.2.44"]
  deny  = ["::/0"]
}
