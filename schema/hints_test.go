package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seawall/seawall/schema"
)

// What people write who come from iptables, Docker or another language is refused with
// the form that they meant.
func TestHints(t *testing.T) {
	const policy = "host {\n  external = [\"eth0\"]\n  unlisted = %s\n}\nset \"office\" { sources = [\"192.0.2.0/24\"] }\n" +
		"policy \"web\" {\n  ports = [%s]\n  allow { sources = [%s, set.office] }\n}\n"
	for _, test := range []struct{ unlisted, port, source, says string }{
		{"deny", "80", `"10.0.0.1"`, `Write "deny", in quotes.`},
		{`"drop"`, "80", `"10.0.0.1"`, `unlisted is "deny", "reject" or "allow", not "drop".`},
		{`"deny"`, "80", `"set.office"`, "Write it without quotes: set.office."},
		{`"deny"`, "80", `"office"`, "Did you mean set.office, without quotes?"},
		{`"deny"`, "80", "office", "Did you mean set.office?"},
		{`"deny"`, "80", `"10.0.0.01"`, `Write "10.0.0.1".`},
		{`"deny"`, "80", `"010.000.000.000/8"`, `Write "10.0.0.0/8".`},
		{`"deny"`, "80", `" 10.0.0.1"`, `Write "10.0.0.1", without the spaces.`},
		{`"deny"`, "80", `"::ffff:10.0.0.0/104"`, "Write 10.0.0.0/8."},
		{`"deny"`, "80", `"::ffff:10.0.0.1"`, "Write 10.0.0.1."},
		{`"deny"`, "80", `"::ffff:0:0/90"`, "which no packet has."},
		{`"deny"`, "80", `"db.example.com"`, "Names are not looked up"},
		{`"deny"`, "80", `"10.0.0.1/255.255.0.0"`, `"10.0.0.0/16".`},
		{`"deny"`, "80", `"10.0.0.*"`, `"10.0.0.0/24".`},
		{`"deny"`, "80", `"10.1."`, `"10.1.0.0/16".`},
		{`"deny"`, "80", `"!10.0.0.1"`, "must not match under except."},
		{`"deny"`, "80", `"10.0.0.1, 10.0.0.2"`, "Write a list"},
		{`"deny"`, "80", `"fe80::1%%eth0"`, "Write only the address"},
		{`"deny"`, `"80/icmp"`, `"10.0.0.1"`, "It has no ports, and Docker does not publish it."},
		{`"deny"`, `"80/tpc"`, `"10.0.0.1"`, `Did you mean "tcp"?`},
		{`"deny"`, `"tcp/80"`, `"10.0.0.1"`, `The port comes first: "80/tcp".`},
		{`"deny"`, `"80:90"`, `"10.0.0.1"`, `A range is written with "-": "80-90".`},
		{`"deny"`, `"+80"`, `"10.0.0.1"`, `Write "80".`},
		{`"deny"`, `"080"`, `"10.0.0.1"`, `Write "80".`},
		{`"deny"`, "8e1", `"10.0.0.1"`, "8e1 is not a port."},
		{`"deny"`, "80", `"ANY"`, "For everybody write any, without quotes."},
		{`"deny"`, "80", `"*"`, "For everybody write any, without quotes."},
		{`"deny"`, "80", "all", "For everybody write any."},
		{`"deny"`, "80", `"[2001:db8::1]"`, `Write it without brackets: "2001:db8::1".`},
		{`"deny"`, "80", `"10.0.0.1/"`, `Write "10.0.0.1", or a prefix length after the slash.`},
		{`"deny"`, "80", `"10.0.0.1 10.0.0.2"`, "Write a list"},
		{`"deny"`, "80", `"office.txt"`, `To read sources from a file, use a set: files = ["office.txt"].`},
		{`"deny"`, "80", "10.8.0.0/16", `Write addresses and CIDRs in quotes: "10.8.0.0/16".`},
		{`"deny"`, "80", "2001:db8::/32", `Write addresses and CIDRs in quotes: "2001:db8::/32".`},
		{`"deny"`, `"8080:80"`, `"10.0.0.1"`, `Of a mapping, write only the published port: "8080".`},
		{`"deny"`, `"127.0.0.1:80"`, `"10.0.0.1"`, `Write the port, "80", and the address under address.`},
		{`"deny"`, `"80/TCP"`, `"10.0.0.1"`, `Write it in lower case: "tcp".`},
		{`"deny"`, `"53/tcp,udp"`, `"10.0.0.1"`, "Write one entry for each protocol."},
		{`"deny"`, "8000-8010", `"10.0.0.1"`, `Write the range in quotes: "8000-8010".`},
	} {
		text := fmt.Sprintf(policy, test.unlisted, test.port, strings.ReplaceAll(test.source, "%%", "%"))
		_, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, test.says) {
			t.Errorf("unlisted = %s, ports = [%s], sources = [%s]: want one error with %q, got %v", test.unlisted, test.port, test.source, test.says, diags)
		}
	}
}

// What is not a policy at all, or lacks a part, says what to write.
func TestWhatToWrite(t *testing.T) {
	for text, says := range map[string]string{
		"host:\n  external: [eth0]\n":          "This looks like YAML.",
		"# policies\n- name: web\n":            "This looks like YAML.",
		"host {\n  unlisted = \"deny\"\n}\n":   `Write external = ["eth0"]: the interfaces on which traffic from outside arrives.`,
		"host {\n  external = [\"eth0\"]\n}\n": `Write unlisted = "deny", "reject" or "allow"`,
		"host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy {\n  ports = [80]\n}\n":  `A policy needs a name: policy "web" {`,
		"host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"web\" {\n}\n":          `Write ports = [443]`,
		"host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n  userland_proxy = \"false\"\n}\n": "Write false, without quotes.",
	} {
		_, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, says) {
			t.Errorf("%s\nwant one error with %q, got %v", text, says, diags)
		}
	}
}
