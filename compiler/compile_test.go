package compiler_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
)

const allowHost = `
host {
  external       = ["eth0"]
  unlisted       = "allow"
  userland_proxy = false
}
`

// dockerUser compiles a policy and gives the rules of DOCKER-USER, one a line.
func dockerUser(t *testing.T, policy string) []string {
	t.Helper()
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(policy)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: emit.Restore, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, line := range strings.Split(string(out.Files[0].Bytes), "\n") {
		if strings.HasPrefix(line, "-A DOCKER-USER") {
			list = append(list, line)
		}
	}
	return list
}

// These are written by hand, as somebody would type them who knows the field.
func TestExactRules(t *testing.T) {
	for _, test := range []struct{ name, policy, rules string }{
		{"port 8080, only one address", `
policy "p" {
  ports = [8080]
  allow { sources = ["192.168.0.1"] }
}`, `-A DOCKER-USER ! -s 192.168.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP`},
		{"port 8080, nobody", `
policy "p" { ports = [8080] }`,
			`-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP`},
		{"a denied CIDR on a range of one host address", `
policy "p" {
  ports   = ["8000-8010"]
  address = ["198.51.100.2"]
  default = "allow"
  deny { sources = ["203.0.113.0/24"] }
}`, `-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdst 198.51.100.2 --ctorigdstport 8000:8010 --ctdir ORIGINAL -j DROP`},
		{"everybody past Docker's own rules", `
policy "p" {
  ports   = [80]
  address = ["198.51.100.2"]
  default = "allow"
  allow {
    sources = any
    accept  = true
  }
}`, `-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdst 198.51.100.2 --ctorigdstport 80 --ctdir ORIGINAL -j ACCEPT`},
		{"routed traffic", `
forward "f" {
  from = "src_if"
  to   = "dst_if"
}`, `-A DOCKER-USER -i src_if -o dst_if -m conntrack --ctdir ORIGINAL -j ACCEPT
-A DOCKER-USER -i dst_if -o src_if -m conntrack --ctdir REPLY -j ACCEPT`},
		{"two addresses are two exceptions, never two negations", `
policy "p" {
  ports = [8080]
  allow { sources = ["192.168.0.1", "192.168.7.0/24"] }
}`, `-A DOCKER-USER -s 192.168.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -s 192.168.7.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP`},
		{"all but one CIDR is denied", `
policy "p" {
  ports   = [8080]
  default = "allow"
  deny {
    sources = any
    except  = ["10.0.0.0/8"]
  }
}`, `-A DOCKER-USER ! -s 10.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP`},
		{"an except does not leak into the rules after it", `
policy "p" {
  ports   = [8080]
  default = "allow"
  allow {
    sources = ["10.0.0.0/8"]
    except  = ["10.1.0.0/16"]
  }
  deny { sources = ["10.0.0.0/7"] }
}`, `-A DOCKER-USER -s 10.1.0.0/16 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -s 10.0.0.0/7 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP`},
		{"a log rule stands before its verdict, for the same packets", `
policy "p" {
  ports = ["53/udp"]
  default = "allow"
  deny {
    sources = ["203.0.113.9"]
    log     = "dns-denied"
    reject  = true
  }
}`, `-A DOCKER-USER -s 203.0.113.9/32 -i eth0 -p udp -m conntrack --ctorigdstport 53 --ctdir ORIGINAL -m limit --limit 10/min -j LOG --log-prefix "dns-denied "
-A DOCKER-USER -s 203.0.113.9/32 -i eth0 -p udp -m conntrack --ctorigdstport 53 --ctdir ORIGINAL -j REJECT --reject-with icmp-port-unreachable`},
		{"the narrower policy stands first, whole", `
policy "wide" {
  ports = ["8000-8010"]
}
policy "narrow" {
  ports   = [8005]
  default = "allow"
}`, `-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8005 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8000:8010 --ctdir ORIGINAL -j DROP`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.Split(test.rules, "\n"), dockerUser(t, allowHost+test.policy)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
