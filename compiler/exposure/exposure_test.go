package exposure

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// of is the report of a capture with other lines in the place of some.
func of(t *testing.T, engine string, four, six *strings.Replacer) []*Port {
	t.Helper()
	var families []docker.Tables
	for _, x := range []struct {
		suffix string
		family packet.Family
		edit   *strings.Replacer
	}{{".iptables-save", packet.IPv4, four}, {".ip6tables-save", packet.IPv6, six}} {
		src, err := os.ReadFile("../../testdata/captures/" + engine + x.suffix)
		if err != nil {
			t.Fatal(err)
		}
		text := string(src)
		if x.edit != nil {
			text = x.edit.Replace(text)
		}
		f, err := iptables.Parse([]byte(text), iptables.Options{Family: x.family})
		if err != nil {
			t.Fatal(err)
		}
		families = append(families, docker.TablesOf(f))
	}
	ports, err := Of(context.Background(), families, []string{"eth0"}, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// What the hosts of the captures let in, by hand: Docker's own rules let in
// everybody, over IPv6 by docker-proxy.
func TestCaptures(t *testing.T) {
	got := Text(of(t, "engine-20.10-two-networks", nil, nil))
	want := `5353/udp → 172.30.0.2:53 on br-shop
! eth0, IPv4: everybody
! eth0, IPv6, over docker-proxy: everybody

198.51.100.2:5432/tcp → 172.30.0.2:80 on br-shop
! eth0, IPv4: everybody

8080/tcp → 172.17.0.2:80 on docker0
! eth0, IPv4: everybody
! eth0, IPv6, over docker-proxy: everybody
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Rules of DOCKER-USER, of INPUT and of others count, and so does the chain's
// policy.
func TestWhoGetsIn(t *testing.T) {
	user := func(lines string) *strings.Replacer {
		return strings.NewReplacer("-A FORWARD -j DOCKER-USER\n", "-A FORWARD -j DOCKER-USER\n"+lines)
	}
	input := func(lines string) *strings.Replacer { return strings.NewReplacer("COMMIT\n*nat", lines+"COMMIT\n*nat") }
	for _, test := range []struct {
		what      string
		four, six *strings.Replacer
		want      string
	}{
		{"one network", user("-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), nil,
			"  eth0, IPv4: 192.0.2.0/24\n! eth0, IPv6, over docker-proxy: everybody\n"},
		{"all but one", user("-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -j DROP\n"), input("-A INPUT -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"),
			"  eth0, IPv4: everybody but 192.0.2.0/24\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"one of the host's addresses", user("-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdst 203.0.113.7 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), input("-A INPUT -i eth0 -j DROP\n"),
			"! eth0, IPv4: everybody\n  eth0, IPv4, to 203.0.113.7: nobody\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"the policy of FORWARD, and a bridge without its rules", strings.NewReplacer(":FORWARD ACCEPT", ":FORWARD DROP", "-A DOCKER-BRIDGE -o docker0 -j DOCKER\n", ""), input("-A INPUT -i eth0 -j DROP\n"),
			"  eth0, IPv4: nobody\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"a match that is not known", user("-A DOCKER-USER -i eth0 -m mystery --what -j DROP\n"), input("-A INPUT -i eth0 -j DROP\n"),
			"  eth0, IPv4: everybody (at most: a match that Seawall does not know decides)\n  eth0, IPv6, over docker-proxy: nobody\n"},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := Text(of(t, "engine-29-published-8080", test.four, test.six))
			if diff := cmp.Diff("8080/tcp → 172.17.0.2:80 on docker0\n"+test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
