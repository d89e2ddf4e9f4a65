//go:build linux

package lab

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/schema"
)

// filledPolicy keeps out whom two ipsets hold: one by a deny, one by an except.
const filledPolicy = `
host {
  external = ["eth0"]
  unlisted = "deny"
}
set "bans" {
  ipset  = "bans"
  ipset6 = "bans6"
}
set "guests" { ipset = "guests" }
set "office" { sources = ["172.20.0.0/16", "fd20::/16"] }
policy "web" {
  ports = [8080]
  deny  { sources = [set.bans] }
  allow {
    sources = [set.office]
    except  = [set.guests]
  }
}
`

// A set that is filled while the host runs closes at once, in every layout and format,
// and opens to nobody.
func TestFilledSets(t *testing.T) {
	t.Parallel()
	Need(t, "ipset")
	doc := parsePolicy(filledPolicy)
	for i, format := range chainFormats {
		for j, layout := range []lower.Layout{lower.Flat, lower.Indexed, lower.IPSet} {
			if i != j && !*long {
				continue
			}
			b := Backends[(i+j)%len(Backends)]
			t.Run(fmt.Sprintf("%s/%s/%s", format.Name, layout, b), func(t *testing.T) {
				t.Parallel()
				filledSets(t, doc, format, layout, b)
			})
		}
	}
}

func filledSets(t *testing.T, doc *schema.Document, format *emit.Format, layout lower.Layout, b Backend) {
	top := NewTopology(t, "eth0")
	top.LinkContainer()
	clients := []string{"172.20.1.5", "172.20.2.5", "fd20::5", "9.9.9.9"}
	top.Clients(clients...)
	out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: format, Layout: layout, Sizes: lower.Sizes{Leaf: 1, Inline: 1, Linear: 2}, Source: "policy.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := emit.Write(dir, out.Files); err != nil {
		t.Fatal(err)
	}
	if format == emit.Shell { // the others were here first; the files of other formats create the sets
		top.Host.Must("ipset", "create", "bans", "hash:net", "timeout", "0", "counters")
		top.Host.Must("ipset", "create", "bans6", "hash:net", "family", "inet6")
		top.Host.Must("ipset", "create", "guests", "hash:ip")
	}
	ports := []string{"8080/tcp"}
	if format == emit.Sysconfig { // as at boot: the policy, then Docker
		load(t, b, top.Host, format.Name, dir)
		dockerRules(t, top, b, ports)
	} else {
		dockerRules(t, top, b, ports)
		load(t, b, top.Host, format.Name, dir)
	}
	if format == emit.Restore {
		jumpsByHand(t, top.Host, b)
	}
	top.Ctr.Serve("tcp", inside(8080))
	all := map[string]Outcome{clients[0]: Open, clients[1]: Open, clients[2]: Open, clients[3]: Silent}
	for _, x := range []struct {
		set, entry string
		denied     string // beside the stranger
	}{
		{"bans", clients[0], clients[0]},
		{"bans", "172.20.2.0/24", clients[1]},
		{"bans6", clients[2], clients[2]},
		{"guests", clients[1], clients[1]},
		{"bans", clients[3], ""},
		{"guests", clients[3], ""},
	} {
		filledProbes(t, top, all, "")
		top.Host.Must("ipset", "add", x.set, x.entry)
		filledProbes(t, top, all, x.denied)
		top.Host.Must("ipset", "del", x.set, x.entry)
	}
	filledProbes(t, top, all, "")
}

// filledProbes tries all clients, of whom one more is denied than the policy says.
func filledProbes(t *testing.T, top *Topology, all map[string]Outcome, denied string) {
	t.Helper()
	var wait sync.WaitGroup
	for from, want := range all {
		if from == denied {
			want = Silent
		}
		wait.Go(func() {
			p := try{from: from, port: "8080/tcp"}.probe(top)
			if got := top.Far.Expect(p, want); got != want {
				t.Errorf("%s is %s, want %s", p, got, want)
			}
		})
	}
	wait.Wait()
}
