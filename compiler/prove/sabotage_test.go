package prove_test

import (
	"bytes"
	"context"
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
		policySays   packet.Verdict
		right        func(packet.Packet) bool
	}{
		{"an except leaks", `
policy "p" {
  ports = [80]
  allow {
    sources = ["10.0.0.0/8"]
    except  = ["10.1.0.0/16"]
  }
}`, func(t *iptables.Table) { without(t, "-s 10.1.0.0/16") }, packet.Deny, inPrefix("10.1.0.0/16")},
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
			for _, c := range t.Chains {
				i := slices.IndexFunc(c.Rules(), func(r *iptables.Rule) bool { return r.Protocol.Name == "tcp" })
				if i < 0 {
					continue
				}
				one := c.Rules()[i].WithSource(iptables.Source{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Not: true})
				two := c.Rules()[i].WithSource(iptables.Source{Prefix: netip.MustParsePrefix("10.0.0.2/32"), Not: true})
				c.SetRules(slices.Replace(c.Rules(), i, i+1, two, one))
				return
			}
		}, packet.Pass, func(p packet.Packet) bool {
			return p.Source == netip.MustParseAddr("10.0.0.1") || p.Source == netip.MustParseAddr("10.0.0.2")
		}},
		{"answers are matched too", `
policy "p" {
  ports = [80]
}`, func(t *iptables.Table) { withoutOption(t, "--ctdir") }, packet.Pass, func(p packet.Packet) bool { return p.Reply }},
		{"the wider policy stands first", `
policy "wide" { ports = ["8000-8010"] }
policy "narrow" {
  ports   = [8005]
  default = "allow"
}`, func(t *iptables.Table) {
			moveToFront(t, "8000:8010")
		}, packet.Pass, func(p packet.Packet) bool { return p.OrigPort == 8005 }},
		{"a range ends too early", `
policy "p" {
  ports   = ["8000-8010"]
  default = "allow"
}`, func(t *iptables.Table) { changeOption(t, "--ctorigdstport", "8000:8009") }, packet.Pass, func(p packet.Packet) bool { return p.OrigPort == 8010 }},
		{"ICMP errors are dropped", `
policy "p" {
  ports   = [80]
  default = "allow"
}`, func(t *iptables.Table) { without(t, "--ctstate RELATED") }, packet.Pass, func(p packet.Packet) bool { return p.Protocol == packet.ICMP && p.State == packet.Related }},
		{"packets that conntrack does not know are let in", `
policy "p" { ports = [80] }`, func(t *iptables.Table) { addDirection(t) }, packet.Deny, func(p packet.Packet) bool { return !p.Known() }},
		{"established packets are accepted on one interface alone", `
host {
  external    = ["eth0"]
  unlisted    = "deny"
  established = "accept"
}`, func(t *iptables.Table) { bindTo(t, "ACCEPT", "eth0") }, packet.Accept, func(p packet.Packet) bool {
			return p.State == packet.Established && p.In != "eth0"
		}},
		{"established packets pass and are not accepted", `
host {
  external    = ["eth0"]
  unlisted    = "deny"
  established = "accept"
}`, func(t *iptables.Table) { without(t, "-j ACCEPT") }, packet.Accept, func(p packet.Packet) bool {
			return p.State == packet.Established
		}},
		{"related packets are forgotten beside established ones", `
host {
  external    = ["eth0"]
  unlisted    = "deny"
  established = "accept"
  related     = "accept"
}`, func(t *iptables.Table) { changeOption(t, "--ctstate", "ESTABLISHED") }, packet.Accept, func(p packet.Packet) bool {
			return p.State == packet.Related
		}},
		{"a kept related packet is an ICMP error alone", `
host {
  external = ["eth0"]
  unlisted = "deny"
  related  = "keep"
}`, func(t *iptables.Table) { bindProtocol(t, "RELATED", "icmp") }, packet.Pass, func(p packet.Packet) bool {
			return p.State == packet.Related && p.Protocol != packet.ICMP
		}},
		{"untracked packets are taken for invalid ones", `
host {
  external = ["eth0"]
  unlisted = "allow"
  invalid  = "deny"
}`, func(t *iptables.Table) { changeOption(t, "--ctstate", "INVALID,UNTRACKED") }, packet.Pass, func(p packet.Packet) bool {
			return p.State == packet.Untracked
		}},
		{"invalid packets are denied from outside alone", `
host {
  external = ["eth0"]
  unlisted = "allow"
  invalid  = "deny"
}`, func(t *iptables.Table) { bindTo(t, "DROP", "eth0") }, packet.Deny, func(p packet.Packet) bool {
			return p.State == packet.Invalid && p.In != "eth0"
		}},
		{"an internal interface is forgotten", `
host {
  external = ["+"]
  internal = ["docker0", "br-+"]
  unlisted = "deny"
}`, func(t *iptables.Table) { without(t, "-i br-+") }, packet.Pass, func(p packet.Packet) bool {
			return strings.HasPrefix(p.In, "br-")
		}},
		{"a bridge is forgotten", `
host {
  external = ["eth0"]
  bridges  = ["docker0", "br-+"]
  unlisted = "deny"
}`, func(t *iptables.Table) { without(t, "-o br-+") }, packet.Deny, func(p packet.Packet) bool {
			return strings.HasPrefix(p.Out, "br-")
		}},
		{"what the bridges' chain lets pass comes to a drop behind it", `
host {
  external       = ["eth0"]
  bridges        = ["docker0", "br-+"]
  unlisted       = "deny"
  userland_proxy = false
}
policy "p" {
  ports   = [80]
  default = "allow"
}`, func(t *iptables.Table) {
			// After a jump, a RETURN comes back to DOCKER-USER; and what leaves elsewhere
			// comes to its end anyway.
			rules := t.Chain(iptables.SeawallBridges).Rules()
			last := rules[len(rules)-1]
			t.Chain(iptables.SeawallBridges).SetRules(rules[:len(rules)-1])
			for _, r := range t.Chain(iptables.DockerUser).Rules() {
				body := *r.Body
				body.Target.Goto = false
				r.Body = &body
			}
			t.Chain(iptables.DockerUser).Append(last)
		}, packet.Pass, func(p packet.Packet) bool { return p.In == "eth0" }},
		{"INVALID packets are left to docker-proxy", `
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "p" { ports = [80] }`, func(t *iptables.Table) { without(t, "--ctstate INVALID") }, packet.Deny, func(p packet.Packet) bool {
			return p.Hook == packet.Input && p.State == packet.Invalid && p.Dport == 80
		}},
		{"INVALID packets to the host's own ports are dropped", `
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "p" { ports = [80] }`, func(t *iptables.Table) { changeOption(t, "--dport", "80:81") }, packet.Pass, func(p packet.Packet) bool {
			return p.Hook == packet.Input && p.State == packet.Invalid && p.Dport == 81
		}},
		{"UNTRACKED packets are taken for INVALID ones", `
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "p" { ports = [80] }`, func(t *iptables.Table) {
			eachMatch(t, func(m *iptables.Match) {
				if o := m.Option("--ctstate"); o != nil && o.Values[0] == "INVALID" {
					o.Values[0] = "INVALID,UNTRACKED"
				}
			})
		}, packet.Pass, func(p packet.Packet) bool {
			return p.Hook == packet.Input && p.State == packet.Untracked && p.Dport == 80
		}},
		{"INVALID packets to every address are dropped", `
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "p" {
  ports   = [80]
  address = ["198.51.100.2"]
}`, func(t *iptables.Table) {
			for _, r := range t.Chain(iptables.SeawallInput).Rules() {
				body := *r.Body
				body.Dest = iptables.Source{}
				r.Body = &body
			}
		}, packet.Pass, func(p packet.Packet) bool {
			return p.Hook == packet.Input && p.State == packet.Invalid && p.Dest != netip.MustParseAddr("198.51.100.2")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := host + test.policy
			if strings.HasPrefix(test.policy, "\nhost {") {
				text = test.policy
			}
			loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(text)})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			table := lower.Lower(loaded.Document, packet.IPv4, lower.Options{})
			if r := compareMade(t, loaded.Document, table, packet.IPv4); !r.Equal() {
				t.Fatalf("the lowering is wrong before it is broken: %s", r.Differences[0])
			}
			test.breakIt(table)
			r := compareMade(t, loaded.Document, table, packet.IPv4)
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

// compareMade compares a table that was made. It goes the way of the compiler:
// to bytes and back.
func compareMade(t tester, doc *schema.Document, table *iptables.Table, family packet.Family) *prove.Result {
	var b bytes.Buffer
	iptables.PrintTable(&b, table)
	f, err := iptables.Parse(b.Bytes(), iptables.Options{Family: family})
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, err := prove.Compare(context.Background(), doc, f.Table("filter"), family, prove.Limits{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r
}

// without drops the rules that have one of these texts.
func without(t *iptables.Table, texts ...string) {
	for _, c := range t.Chains {
		c.SetRules(slices.DeleteFunc(c.Rules(), func(r *iptables.Rule) bool {
			return slices.ContainsFunc(texts, func(x string) bool { return strings.Contains(r.String(c.Name), x) })
		}))
	}
}

// moveToFront puts the rules of a chain with a text before all others.
func moveToFront(t *iptables.Table, text string) {
	for _, c := range t.Chains {
		var first, rest []*iptables.Rule
		for _, r := range c.Rules() {
			if strings.Contains(r.String(c.Name), text) {
				first = append(first, r)
			} else {
				rest = append(rest, r)
			}
		}
		c.SetRules(append(first, rest...))
	}
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

// eachMatch edits the matches of a table that was made: its rules have no words
// of their own.
func eachMatch(t *iptables.Table, f func(*iptables.Match)) {
	seen := map[*iptables.Body]bool{}
	for _, c := range t.Chains {
		for _, r := range c.Rules() {
			if seen[r.Body] {
				continue
			}
			seen[r.Body] = true
			for i := range r.Matches {
				f(&r.Matches[i])
			}
		}
	}
}

// addDirection binds the last rule, which drops the rest, to original
// direction, as every other rule is.
func addDirection(t *iptables.Table) {
	rules := t.Chain(iptables.DockerUser).Rules()
	last := rules[len(rules)-1]
	body := *last.Body
	body.Matches = append(slices.Clone(body.Matches), iptables.Match{Name: "conntrack", Options: []iptables.Option{{Name: "--ctdir", Values: []string{"ORIGINAL"}}}})
	last.Body = &body
}

// bindTo binds the first rule with a target to an interface.
func bindTo(t *iptables.Table, target, in string) {
	for _, r := range t.Chain(iptables.DockerUser).Rules() {
		if r.Target.Name == target {
			body := *r.Body
			body.In = iptables.Interface{Name: in}
			r.Body = &body
			return
		}
	}
}

// bindProtocol binds the rules for a state to a protocol.
func bindProtocol(t *iptables.Table, state, protocol string) {
	for _, r := range t.Chain(iptables.DockerUser).Rules() {
		if strings.Contains(r.String(iptables.DockerUser), "--ctstate "+state) {
			body := *r.Body
			body.Protocol = iptables.Protocol{Name: protocol}
			r.Body = &body
		}
	}
}
