package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

func captured(t *testing.T, name string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func layout(t *testing.T, name string, known *Known) *Layout {
	t.Helper()
	family := packet.IPv4
	if strings.Contains(name, "ip6tables") {
		family = packet.IPv6
	}
	f, err := iptables.Parse(captured(t, name), iptables.Options{Family: family})
	if err != nil {
		t.Fatal(err)
	}
	tables := TablesOf(f)
	tables.Known = known
	return Look(tables)
}

// The captures named modes are hosts with one network of each kind, which their rules reveal.
// 26.1 does not support the mode routed.
func TestKindsOfNetworks(t *testing.T) {
	usual := "nat, icc, masquerade"
	for name, want := range map[string]map[string]string{
		"engine-20.10-two-networks.iptables-save": {"docker0": usual, "br-shop": usual},
		"engine-26.1-modes.iptables-save": {"docker0": usual, "br-d60d76c984e3": usual, "br-b22595f34a35": "internal, icc", "br-d96b8a405156": usual,
			"br-5620a90bda1a": "nat, masquerade", "br-a5a55a0bd1a1": usual},
		"engine-28.5-modes.iptables-save": {"docker0": usual, "br-d7b36bd48912": usual, "br-6fa2260a3e39": "internal, icc", "br-ea090902f359": usual,
			"br-2a8e6757f87d": "nat, masquerade", "br-93f2212b221e": "routed, icc"},
		"engine-28.5-modes-legacy.iptables-save": {"docker0": usual, "br-6b3732ea68c5": usual, "br-65d2b5477080": "internal, icc", "br-b33ec80d9058": usual,
			"br-80253fe02a98": "nat, masquerade", "br-7b63adf15c8a": "routed, icc"},
		"engine-28.5-modes.ip6tables-save": {"br-ea090902f359": usual},
		"engine-29-modes.iptables-save": {"docker0": usual, "br-316049296d6e": usual, "br-5b1d08746b35": "internal, icc", "br-01c882c72360": usual,
			"br-1fcd1d9da94c": "nat, masquerade", "br-a13571cb745d": "routed, icc"},
		"engine-29-modes.ip6tables-save": {"br-01c882c72360": usual},
	} {
		got := map[string]string{}
		for _, n := range layout(t, name, nil).all() {
			got[n.Bridge] = n.Kind.String()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What Docker reports about a healthy host agrees with its rules: nothing is missing, and each
// reported port is also in the rules.
func TestDockerAndItsRulesAgree(t *testing.T) {
	for name, inspect := range map[string]string{
		"engine-26.1-modes.iptables-save":  "engine-26.1-modes.inspect.json",
		"engine-28.5-modes.iptables-save":  "engine-28.5-modes.inspect.json",
		"engine-28.5-modes.ip6tables-save": "engine-28.5-modes.inspect.json",
		"engine-29-modes.iptables-save":    "engine-29-modes.inspect.json",
		"engine-29-modes.ip6tables-save":   "engine-29-modes.inspect.json",
	} {
		known, err := ParseInspect(captured(t, inspect))
		if err != nil {
			t.Fatal(err)
		}
		l := layout(t, name, known)
		for _, p := range l.Published {
			if p.Said {
				t.Errorf("%s: only Docker reports %+v", name, p)
			}
		}
		_, expected := l.Expected()
		for _, e := range expected {
			if !l.Has(e) {
				t.Errorf("%s: missing: %+v", name, e)
			}
		}
		if len(known.Containers) != 7 || known.NameOf(l.Published[0].To.Addr()) == "" {
			t.Errorf("%s: %+v", name, known)
		}
	}
}
