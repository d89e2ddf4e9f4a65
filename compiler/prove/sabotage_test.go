package prove_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// The mistakes that lowerings of this kind are known for, each made on purpose
// in what the lowering gives. The proof must find each, and its counterexample
// must be a packet that the mistake is about.
func TestBrokenLoweringsAreFound(t *testing.T) {
	const host = `
host {
  external       = ["eth0"]
  unlisted       = "deny"
  userland_proxy = false
}
`
	inPrefix := func(text string) func(packet.Packet) bool {
		return func(p packet.Packet) bool { return netip.MustParsePrefix(text).Contains(p.Source) }
	}
	for _, test := range []struct {
		name, policy string
		breakIt      func(*iptables.Table)
		policySays   string
		right        func(packet.Packet) bool
	}{
		{"an except leaks", `
policy "p" {
  ports = [80]
  allow {
    sources = ["10.0.0.0/8"]
    except  = ["10.1.0.0/16"]
  }
}`, func(t *iptables.Table) { without(t, "-s 10.1.0.0/16") }, "deny", inPrefix("10.1.0.0/16")},
		{"two negated rules", `
policy "p" {
  ports   = [80]
  default = "allow"
  deny {
    sources = any
    except  = ["10.0.0.1", "10.0.0.2"]
  }
}`, func(t *iptables.Table) {
			without(t, "-s 10.0.0.1/32", "-s 10.0.0.2/32")
			for i, l := range t.Lines {
				if l.Rule != nil && l.Rule.Protocol.Name == "tcp" {
					twice := *l.Rule
					l.Rule.Source = iptables.Source{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Not: true}
					twice.Source = iptables.Source{Prefix: netip.MustParsePrefix("10.0.0.2/32"), Not: true}
					t.Lines = slices.Insert(t.Lines, i, iptables.Line{Chain: l.Chain, Rule: &twice})
					return
				}
			}
		}, "pass", func(p packet.Packet) bool {
			return p.Source == netip.MustParseAddr("10.0.0.1") || p.Source == netip.MustParseAddr("10.0.0.2")
		}},
		{"answers are matched too", `
policy "p" {
  ports = [80]
}`, func(t *iptables.Table) { withoutOption(t, "--ctdir") }, "pass", func(p packet.Packet) bool { return p.Reply }},
		{"the wider policy stands first", `
policy "wide" { ports = ["8000-8010"] }
policy "narrow" {
  ports   = [8005]
  default = "allow"
}`, func(t *iptables.Table) {
			moveToFront(t, "8000:8010")
		}, "pass", func(p packet.Packet) bool { return p.OrigPort == 8005 }},
		{"a range ends too early", `
policy "p" {
  ports   = ["8000-8010"]
  default = "allow"
}`, func(t *iptables.Table) { changeOption(t, "--ctorigdstport", "8000:8009") }, "pass", func(p packet.Packet) bool { return p.OrigPort == 8010 }},
		{"ICMP errors are dropped", `
policy "p" {
  ports   = [80]
  default = "allow"
}`, func(t *iptables.Table) { without(t, "--ctstate RELATED") }, "pass", func(p packet.Packet) bool { return p.Protocol == 1 && p.State == "RELATED" }},
		{"packets that conntrack does not know are let in", `
policy "p" { ports = [80] }`, func(t *iptables.Table) { addDirection(t) }, "deny", func(p packet.Packet) bool { return !p.Known() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(host + test.policy)})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			table := lower.Lower(loaded.Document, packet.IPv4, lower.Options{})
			if r := compareTable(t, loaded.Document, table); !r.Equal() {
				t.Fatalf("the lowering is wrong before it is broken: %s", r.Differences[0])
			}
			test.breakIt(table)
			r := compareTable(t, loaded.Document, table)
			if r.Equal() {
				t.Fatal("the proof does not see it")
			}
			d := r.Differences[0]
			if !test.right(d.Example) || d.Policy != test.policySays {
				t.Errorf("the counterexample is about another thing: %s: the policy says %s, the file %s", d.Example, d.Policy, d.File)
			}
			t.Logf("%s: the policy says %s, the file %s", d.Example, d.Policy, d.File)
		})
	}
}

// compareTable goes the way of the compiler: to bytes and back.
func compareTable(t *testing.T, doc *schema.Document, table *iptables.Table) *prove.Result {
	t.Helper()
	var b bytes.Buffer
	iptables.PrintTable(&b, table)
	f, err := iptables.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r, err := prove.Compare(doc, f.Table("filter"), packet.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// without drops the rules that have one of these texts.
func without(t *iptables.Table, texts ...string) {
	t.Lines = slices.DeleteFunc(t.Lines, func(l iptables.Line) bool {
		return l.Rule != nil && slices.ContainsFunc(texts, func(x string) bool { return strings.Contains(l.Rule.String("X"), x) })
	})
}

// moveToFront puts the rules with a text before all others.
func moveToFront(t *iptables.Table, text string) {
	var first, rest []iptables.Line
	for _, l := range t.Lines {
		if l.Rule != nil && strings.Contains(l.Rule.String("X"), text) {
			first = append(first, l)
		} else {
			rest = append(rest, l)
		}
	}
	t.Lines = append(first, rest...)
}

func withoutOption(t *iptables.Table, name string) {
	eachMatch(t, func(m *iptables.Match) {
		m.Options = slices.DeleteFunc(m.Options, func(o iptables.Option) bool { return o.Name == name && len(m.Options) > 1 })
	})
}

func changeOption(t *iptables.Table, name, value string) {
	eachMatch(t, func(m *iptables.Match) {
		for i := range m.Options {
			if m.Options[i].Name == name {
				m.Options[i].Values = []string{value}
			}
		}
	})
}

func eachMatch(t *iptables.Table, f func(*iptables.Match)) {
	for _, l := range t.Lines {
		if l.Rule != nil {
			for i := range l.Rule.Matches {
				f(&l.Rule.Matches[i])
			}
		}
	}
}

// addDirection binds the last rule, which drops the rest, to original
// direction, as every other rule is.
func addDirection(t *iptables.Table) {
	last := t.Lines[len(t.Lines)-1].Rule
	body := *last.Body
	body.Matches = append(slices.Clone(body.Matches), iptables.Match{Name: "conntrack", Options: []iptables.Option{{Name: "--ctdir", Values: []string{"ORIGINAL"}}}})
	last.Body = &body
}
