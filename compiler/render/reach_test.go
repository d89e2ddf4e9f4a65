package render_test

import (
	"slices"
	"testing"

	"github.com/seawall/seawall/compiler/page/pagetest"
	"golang.org/x/net/html"
)

// Where a policy does not decide, its page says what does: in the other family, on other
// addresses and interfaces, and where narrower policies take all.
func TestWhatDecidesElsewhere(t *testing.T) {
	p := made(t, "policy.hcl", `
host {
  external       = ["eth0", "wan0"]
  unlisted       = "reject"
  userland_proxy = false
}
policy "web" {
  ports = [80, 443]
  allow { sources = any }
}
policy "web-admin" {
  ports   = [443]
  address = ["203.0.113.7"]
  allow { sources = ["192.0.2.0/24"] }
}
policy "db" {
  ports   = [5432]
  address = ["203.0.113.7", "2001:db8::7"]
}
policy "six" {
  ports   = [53]
  address = ["2001:db8::/64"]
  allow { sources = any }
}
policy "lan" {
  ports    = [9090]
  external = ["wan0"]
  allow { sources = any }
}
policy "both" {
  ports   = [7000, 7001]
  address = ["203.0.113.7"]
}
policy "first" {
  ports   = [7000]
  address = ["203.0.113.7"]
}
policy "second" {
  ports   = [7001]
  address = ["203.0.113.7"]
}
`)
	text := sound(t, p)
	said := func(policy, what string) string {
		for _, s := range pagetest.Text(text, func(n *html.Node) bool {
			return n.Data == "dd" && before(n) == what && pagetest.Attr(n.Parent.Parent, "id") == "policy-"+policy
		}) {
			return s
		}
		return ""
	}
	for _, test := range [][3]string{
		{"web", "IPv4", "everybody"},
		{"web", "Narrower policies", "web-admin decides about a part of this"},
		{"web-admin", "IPv6", "not in this policy's addresses: web"},
		{"web-admin", "IPv4, other addresses of this host", "web"},
		{"web-admin", "Inside of", "web"},
		{"db", "IPv4", "nobody"},
		{"db", "other addresses of this host", "no policy names it, so it is rejected"},
		{"six", "IPv4", "not in this policy's addresses: no policy names it, so it is rejected"},
		{"six", "IPv6", "everybody"},
		{"lan", "other interfaces", "no policy names it, so it is rejected"},
		{"both", "IPv4", "narrower policies decide about all of it: first, second"},
		{"both", "IPv6", "not in this policy's addresses: no policy names it, so it is rejected"},
	} {
		if got := said(test[0], test[1]); got != test[2] {
			t.Errorf("policy %s, %s: %q, want %q", test[0], test[1], got, test[2])
		}
	}
	rows := pagetest.Text(text, func(n *html.Node) bool {
		return n.Data == "tr" && n.FirstChild != nil && pagetest.Attr(n.FirstChild, "scope") == "row" && n.FirstChild.FirstChild.Data == "a"
	})
	for _, want := range []string{
		"web-admin 443/tcp 192.0.2.0/24 policy web dropped",
		"six 53/tcp unlisted: rejected everybody nobody is left",
		"both 7000/tcp, 7001/tcp other policies unlisted: rejected decided elsewhere",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("no row of %q reads %q", rows, want)
		}
	}
}
