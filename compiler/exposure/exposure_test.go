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

const captures = "../../testdata/captures/"

// tables parses the tables in a text.
func tables(t *testing.T, text string, family packet.Family) docker.Tables {
	t.Helper()
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return docker.TablesOf(f)
}

// read returns a file, "" if it does not exist.
func read(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(src)
}

// ofHost returns the report of a host.
func ofHost(t *testing.T, h Host) *Report {
	t.Helper()
	if h.Interfaces == nil {
		h.Interfaces = []string{"eth0"}
	}
	r, err := Of(context.Background(), h, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// capture is a captured host, with some lines replaced.
func capture(t *testing.T, engine string, four, six *strings.Replacer) Host {
	t.Helper()
	h := Host{}
	for _, x := range []struct {
		suffix string
		family packet.Family
		edit   *strings.Replacer
	}{{".iptables-save", packet.IPv4, four}, {".ip6tables-save", packet.IPv6, six}} {
		text := read(t, captures+engine+x.suffix)
		if x.edit != nil {
			text = x.edit.Replace(text)
		}
		if text != "" {
			h.Families = append(h.Families, tables(t, text, x.family))
		}
	}
	if src := read(t, captures+engine+".inspect.json"); src != "" {
		k, err := docker.ParseInspect([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		h.Known = k
	}
	return h
}

// What the captured hosts let in. The texts in testdata were checked against the rules by hand:
// Docker's own rules let in everybody; IPv6 has DNAT for the network that has IPv6, from all but
// link-local addresses, and docker-proxy for the others; the routed network is reached by its own
// address if the engine supports that mode (28), and its host port, which Docker lists only for
// IPv6, is docker-proxy's; ports on 127.0.0.1 are local.
func TestCaptures(t *testing.T) {
	for _, engine := range []string{"engine-20.10-two-networks", "engine-26.1-modes", "engine-28.5-modes", "engine-29-modes", "engine-29-published-8080"} {
		t.Run(engine, func(t *testing.T) {
			h := capture(t, engine, nil, nil)
			got := ofHost(t, h).Text()
			if diff := cmp.Diff(read(t, "testdata/"+engine+".txt"), got); diff != "" {
				t.Error(diff)
			}
			for range 5 {
				if again := ofHost(t, capture(t, engine, nil, nil)).Text(); again != got {
					t.Fatalf("the same host again:\n%s", cmp.Diff(got, again))
				}
			}
		})
	}
}

// Without docker inspect the ports are the same, except for the one that no rule shows, and
// nothing has a name.
func TestNothingKnown(t *testing.T) {
	for _, engine := range []string{"engine-28.5-modes", "engine-29-modes"} {
		h := capture(t, engine, nil, nil)
		named := ofHost(t, h).Text()
		h.Known = nil
		want := named
		for _, name := range []string{"rng", "db", "web", "six", "ni"} {
			want = strings.ReplaceAll(want, "→ "+name+" (", "→ (")
		}
		want = strings.NewReplacer("→ (", "→ ", ") on", " on", " → rt on", " on").Replace(want)
		want, _, _ = strings.Cut(want, "\n9100/tcp")
		if diff := cmp.Diff(want, ofHost(t, h).Text()); diff != "" {
			t.Errorf("%s: %s", engine, diff)
		}
	}
}

// The two backends print the same rules in a different order, and bridge names differ from run to
// run.
func TestLegacy(t *testing.T) {
	nft := capture(t, "engine-28.5-modes", nil, nil)
	nft.Families, nft.Known = nft.Families[:1], nil
	legacy := capture(t, "engine-28.5-modes-legacy", nil, nil)
	names := strings.NewReplacer("br-6b3732ea68c5", "br-d7b36bd48912", "br-b33ec80d9058", "br-ea090902f359", "br-80253fe02a98", "br-2a8e6757f87d", "br-7b63adf15c8a", "br-93f2212b221e")
	if diff := cmp.Diff(ofHost(t, nft).Text(), names.Replace(ofHost(t, legacy).Text())); diff != "" {
		t.Error(diff)
	}
}

// Rules in DOCKER-USER, in INPUT and of other tools count, and so does the chain's policy.
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
			"  eth0, IPv4, over DNAT: 192.0.2.0/24\n! eth0, IPv6, over docker-proxy: everybody\n"},
		{"all but one", user("-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -j DROP\n"), input("-A INPUT -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"),
			"  eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"one of the host's addresses", user("-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdst 203.0.113.7 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"), input("-A INPUT -i eth0 -j DROP\n"),
			"! eth0, IPv4, over DNAT: everybody\n  eth0, IPv4, to 203.0.113.7, over DNAT: nobody\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"the policy of FORWARD, and a bridge without its rules", strings.NewReplacer(":FORWARD ACCEPT", ":FORWARD DROP", "-A DOCKER-BRIDGE -o docker0 -j DOCKER\n", ""), input("-A INPUT -i eth0 -j DROP\n"),
			"  eth0, IPv4, over DNAT: nobody\n  eth0, IPv6, over docker-proxy: nobody\n"},
		{"an unknown match", user("-A DOCKER-USER -i eth0 -m mystery --what -j DROP\n"), input("-A INPUT -i eth0 -j DROP\n"),
			"  eth0, IPv4, over DNAT: at most everybody\n    cannot be evaluated: -t filter -A DOCKER-USER -i eth0 -m mystery --what -j DROP\n  eth0, IPv6, over docker-proxy: nobody\n"},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := ofHost(t, capture(t, "engine-29-published-8080", test.four, test.six)).Text()
			if diff := cmp.Diff("8080/tcp → 172.17.0.2:80 on docker0\n"+test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
