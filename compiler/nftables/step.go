package nftables

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// Stepper evaluates rulesets rule by rule, for one packet with every source that it may
// have: at hooks that the diagrams of Reader do not cover, such as prerouting.
type Stepper struct {
	rules      *Rules
	conditions *conditions
	plain      map[plainKey]*Rule
}

type plainKey struct {
	rule  *Rule
	local bool
}

// Stepper returns a stepper in a space that tells the interfaces of the rules apart.
func (r *Rules) Stepper(s *packet.Space) *Stepper {
	c := newConditions(s, r.file)
	c.changed = changes(r.reachable("PREROUTING", packet.Forward, packet.Input, "POSTROUTING"))
	for _, followed := range []string{"meta mark", "mark", "ct state"} {
		delete(c.changed, followed) // Does says what becomes of them
	}
	return &Stepper{rules: r, conditions: c, plain: map[plainKey]*Rule{}}
}

// BaseChain is a chain that the kernel calls.
type BaseChain struct {
	Table *Table
	*Chain
	// Place is when it is called: its priority, and for a chain of type nat that of
	// address translation.
	Place int
}

// The places of the kernel's own work in prerouting, and of address translation.
const (
	PlaceConntrack = -200
	placeDNAT      = -100
	placeSNAT      = 100
)

// At are the base chains of a hook, such as "prerouting", in the order in which packets come
// to them.
func (r *Rules) At(hook string) []BaseChain {
	var list []BaseChain
	for _, b := range r.bases(packet.Hook(strings.ToUpper(hook))) {
		place := b.chain.Hook.Priority
		if b.chain.Hook.Type == "nat" {
			place = map[string]int{"prerouting": placeDNAT, "output": placeDNAT}[hook]
			if place == 0 {
				place = placeSNAT
			}
		}
		list = append(list, BaseChain{b.table, b.chain, place})
	}
	slices.SortStableFunc(list, func(a, b BaseChain) int { return cmp.Compare(a.Place, b.Place) })
	return list
}

// Doing is what a rule does with packets that it matches.
type Doing uint8

// What rules do.
const (
	Accepts   Doing = iota // this base chain is over
	Denies                 // drop, or reject
	Returns                // back to the chain's caller
	Jumps                  // to a chain and back
	Goes                   // to a chain, and from there to the caller
	Rewrites               // changes the destination
	Proceeds               // to the next rule, perhaps changed
	Undecided              // anything
)

// Met is what a rule does with the packets from some sources.
type Met struct {
	Sources diagram.Set
	Unsure  string // the words that cannot be evaluated: the sources may match
	Does    Doing
	Verdict packet.Verdict // of Denies
	Chain   *Chain         // of Jumps and Goes
	To      Destination    // of Rewrites
	Words   string         // of Undecided: what cannot be evaluated
}

// Destination is where dnat or redirect sends packets.
type Destination struct {
	Host    bool       // redirect: to an address of the host
	Address netip.Addr // the zero Addr keeps the packet's
	Port    int        // 0 keeps the packet's
}

// onwards marks the end of a rule without a verdict.
const onwards = "\x00"

// Meet returns what a rule does with a packet, by source. Its destination is one of the
// host's own addresses if local is set. Unknown are properties that are not known, by
// selector, with the reason.
func (s *Stepper) Meet(t *Table, r *Rule, p packet.Packet, local bool, unknown map[string]string) []Met {
	c := s.conditions
	c.point = c.Point(p)
	var added []string
	for name, why := range unknown {
		if c.changed[name] == "" {
			c.changed[name] = why
			added = append(added, name)
		}
	}
	list := s.met(c.branches(t, s.plainly(r, local), 0))
	for _, name := range added {
		delete(c.changed, name)
	}
	return list
}

func (s *Stepper) met(branches []branch) []Met {
	var list []Met
	all := diagram.Set{{Hi: s.conditions.Max(packet.Source)}}
	for i := range branches {
		b := &branches[i]
		for _, k := range b.cases {
			m := Met{Sources: all, Unsure: k.Unsure}
			if k.Box[packet.Source] != nil {
				m.Sources = m.Sources.Intersect(k.Box[packet.Source])
			}
			if b.sources != nil {
				m.Sources = m.Sources.Intersect(b.sources)
			}
			if len(m.Sources) == 0 {
				continue
			}
			m.act(b.act)
			list = append(list, m)
		}
	}
	return list
}

func (m *Met) act(a action) {
	switch a.deed {
	case accepts, marks:
		m.Does = Accepts
	case denies:
		m.Does, m.Verdict = Denies, a.verdict
	case returns:
		m.Does = Returns
	case jumps:
		m.Does, m.Chain = Jumps, a.chain
	case goes:
		m.Does, m.Chain = Goes, a.chain
	default:
		m.Does, m.Words = Undecided, a.words
		if a.words == onwards {
			m.Does, m.Words = Proceeds, ""
		} else if to, ok := destination(a.words); ok {
			m.Does, m.To, m.Words = Rewrites, to, ""
		}
	}
}

// plainly is a rule with what depends on the path of the packet decided: whether its
// destination is local, and what it changes, which State says.
func (s *Stepper) plainly(r *Rule, local bool) *Rule {
	key := plainKey{r, local}
	if x := s.plain[key]; x != nil {
		return x
	}
	x := *r
	x.Statements = nil
	ends, never := false, false
	for _, y := range r.Statements {
		switch y := y.(type) {
		case *Match:
			if yes, known := y.destType(local); known {
				never = never || !yes
				continue
			}
		case *Assign:
			if y.Left.Text == "meta mark" || y.Left.Text == "mark" {
				continue
			}
		case *Verdict, *Reject, *Lookup, *Foreign:
			ends = true
		}
		x.Statements = append(x.Statements, y)
	}
	if !ends {
		x.Statements = append(x.Statements, &Foreign{Text: onwards})
	}
	if never {
		x.Statements = []Statement{&Verdict{Kind: Continue}}
	}
	s.plain[key] = &x
	return &x
}

// destType decides "fib daddr type"; known is false for any other match.
func (m *Match) destType(local bool) (yes, known bool) {
	if m.Left.Kind != Selector || m.Left.Text != "fib daddr type" || m.Right.Kind != Value {
		return false, false
	}
	switch m.Right.Text {
	case "local":
		yes = local
	case "unicast":
		yes = !local
	}
	switch m.Op {
	case "", "==":
		return yes, true
	case "!=":
		return !yes, true
	}
	return false, false
}

// destination reads "dnat to ADDRESS:PORT" and "redirect to :PORT", with one address and
// one port.
func destination(words string) (Destination, bool) {
	list := strings.Fields(words)
	switch {
	case len(list) == 0:
		return Destination{}, false
	case list[0] == "redirect":
		if len(list) == 1 {
			return Destination{Host: true}, true
		}
		port, err := strconv.ParseUint(strings.TrimPrefix(list[len(list)-1], ":"), 10, 16)
		return Destination{Host: true, Port: int(port)}, err == nil && len(list) == 3 && list[1] == "to"
	case list[0] != "dnat":
		return Destination{}, false
	}
	list = list[1:]
	if len(list) > 0 && (list[0] == "ip" || list[0] == "ip6") {
		list = list[1:]
	}
	if len(list) != 2 || list[0] != "to" {
		return Destination{}, false
	}
	if to, err := netip.ParseAddrPort(list[1]); err == nil {
		return Destination{Address: to.Addr(), Port: int(to.Port())}, true
	}
	if port, ok := strings.CutPrefix(list[1], ":"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		return Destination{Port: int(n)}, err == nil
	}
	a, err := netip.ParseAddr(strings.Trim(list[1], "[]"))
	return Destination{Address: a}, err == nil
}

// Destination returns where a rule sends packets, if it changes their destination.
func (r *Rule) Destination() (Destination, bool) {
	for _, s := range r.Statements {
		if f, ok := s.(*Foreign); ok {
			if d, ok := destination(f.Text); ok {
				return d, true
			}
		}
	}
	return Destination{}, false
}

// Untracks reports whether a rule takes packets from conntrack.
func (r *Rule) Untracks() bool {
	return slices.ContainsFunc(r.Statements, func(s Statement) bool {
		n, ok := s.(*Note)
		return ok && n.Text == "notrack"
	})
}

// Mark is the mark of a packet after a rule that it matches, and false if that is not
// known.
func (r *Rule) Mark(now uint32) (uint32, bool) {
	for _, s := range r.Statements {
		a, ok := s.(*Assign)
		if !ok || a.Left.Text != "meta mark" && a.Left.Text != "mark" {
			continue
		}
		e, op := &a.Right, ""
		if e.Kind == Binary && len(e.Args) == 2 && e.Args[0].Kind == Selector && (e.Args[0].Text == "meta mark" || e.Args[0].Text == "mark") {
			op, e = stepOf[e.Op], &e.Args[1]
		}
		v, known := markType.number(e)
		if !known || e.Kind != Value {
			return 0, false
		}
		switch bits := uint32(v.Lo); op {
		case "":
			now = bits
		case "|":
			now |= bits
		case "&":
			now &= bits
		case "^":
			now ^= bits
		}
	}
	return now, true
}

// Dockers reports whether a table is one of Docker's nftables back end.
func (t *Table) Dockers() bool { return t.dockers() }

// IPTables reports whether a table is one that iptables-nft keeps its rules in.
func (t *Table) IPTables() bool { return t.iptables() }

// Leads reports whether a rule or a map of the table leads to a chain.
func (t *Table) Leads(chain string) bool { return t.leadsTo(chain) }

// Asks reports whether a rule of the table names a set or map.
func (t *Table) Asks(set string) bool {
	return t.uses(func(e *Expr) bool { return e.Kind == Named && e.Text == set })
}
