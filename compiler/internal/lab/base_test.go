//go:build linux

package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/prove"
)

// bases are boot files as distributions write them.
var bases = map[string]string{
	"RHEL's default": `# sample configuration for iptables service
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -j REJECT --reject-with icmp-host-prohibited
COMMIT
`,
	"netfilter-persistent": `*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*nat
:PREROUTING ACCEPT [7:420]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.0.0.0/8 -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:mine - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -j mine
-A mine -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
`,
	"DOCKER-USER typed by hand": `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -p tcp --dport 8080 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`,
}

// A boot file that the policy was spliced into loads in both back ends, what the
// kernel then holds implements the policy, and the host's own rules are there.
func TestBasesLoad(t *testing.T) {
	t.Parallel()
	Need(t)
	doc := lifePolicy(1)
	for name, base := range bases {
		// IPv6 has other names for ICMP and its answers.
		six := strings.NewReplacer("icmp-host-prohibited", "icmp6-adm-prohibited", "-p icmp", "-p ipv6-icmp", "10.0.0.0/8", "fd00::/8").Replace(base)
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.Sysconfig, Source: "policy.hcl", Base4: []byte(base), Base6: []byte(six), Force: true})
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "boot")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := emit.Write(dir, out.Files); err != nil {
			t.Fatal(err)
		}
		for _, b := range Backends {
			t.Run(name+"/"+string(b), func(t *testing.T) {
				n := NewNamespace(t, "host")
				load(t, b, n, "sysconfig", dir)
				for _, f := range families {
					text := b.Save(n, f, "filter")
					file, err := iptables.Parse([]byte(text), iptables.Options{Family: f})
					if err != nil {
						t.Fatal(err)
					}
					result, err := prove.Compare(context.Background(), doc, file.Table("filter"), f, prove.Limits{})
					if err != nil || !result.Equal() {
						t.Errorf("IPv%d: the kernel does not hold the policy: %v\n%s", f, err, text)
					}
					for _, line := range strings.Split(base, "\n") {
						if strings.Contains(line, "--dport 22") && !strings.Contains(text, "--dport 22 -j ACCEPT") {
							t.Errorf("IPv%d: the host's own rule is gone: %s\n%s", f, line, text)
						}
					}
				}
			})
		}
	}
}
