package importer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Kind is what the policy changes for packets that are missing.
type Kind int

// The kinds, worst first.
const (
	Opens     Kind = iota // the chains close it, and the policy would let it through
	Undecided             // a rule cannot be evaluated, so what the chains do is not known
	Closes                // the chains let it through, and the policy would close it
	Otherwise             // both close it, or both let it through, in another way
)

// Missing is packets that the policy treats in another way than the chains, all because
// of one rule.
type Missing struct {
	Kind         Kind
	Family       packet.Family
	Hook         packet.Hook
	Policy, File packet.Verdict
	About        About          // what kind of packets
	Fields       []packet.Field // what binds the first of them
	More         int            // further kinds of packets with the same reason
	Example      packet.Packet
	Place, Rule  string // file:line of the rule that decides, and its text; the end of a chain has none
	Words        string // what of it cannot be evaluated
}

// different is packets on which the two sides disagree, as one box.
type different struct {
	hook         packet.Hook
	box          diagram.Box
	policy, file packet.Verdict
	kind         Kind
}

// mostBoxes is how many boxes are listed by their rules; of more, nobody reads the list.
const mostBoxes = 400

// policy is the verdict function of a document. Where no rule can let packets past
// those of Docker, its accept is a pass.
func (r *reading) policy(doc *schema.Document, hook packet.Hook) diagram.Ref {
	f := meaning.NewReader(r.Store, r.space, doc, nil).Hook(hook)
	if r.rules.finalAccept() {
		return f
	}
	return r.Relabel(f, func(v uint32) uint32 {
		if packet.Verdict(v) == packet.Accept {
			return uint32(packet.Pass)
		}
		return v
	})
}

// compare adds to a result where the policy and the chains of one family differ.
func (r *reading) compare(result *Result) error {
	list, err := r.differences(result)
	if err != nil {
		return err
	}
	r.group(result, list)
	return r.compareLogs(result)
}

func (r *reading) differences(result *Result) ([]different, error) {
	var list []different
	dropped, err := r.rawDrops()
	if err != nil {
		return nil, err
	}
	translations := r.translations()
	for _, hook := range r.hooks {
		want, said := r.policy(result.Document, hook), r.said[hook]
		if want == said {
			continue
		}
		r.Disagree(want, said, func(a, b uint32) bool { return a == b }).Boxes(func(b *diagram.Box, pair diagram.Pair) {
			x := different{hook: hook, box: *b, policy: packet.Verdict(pair.A), file: packet.Verdict(pair.B)}
			if hook == packet.Input {
				r.arriving(x.box, func(part diagram.Box) {
					x.box = part
					list = append(list, x.judged(x.policy, x.file))
				})
				return
			}
			r.possible(translations, dropped, x.box, func(part diagram.Box) {
				list = r.add(list, result, x, part)
			})
			result.Nat = result.Nat || r.nat.exact
		})
	}
	return list, nil
}

// add adds a part of a difference, but for what the rest of FORWARD decides alike.
func (r *reading) add(list []different, result *Result, x different, part diagram.Box) []different {
	x.box = part
	if !r.whole {
		if x.policy == packet.Pass && x.file == packet.Accept {
			result.Accepted++
			return list
		}
		return append(list, x.judged(x.policy, x.file))
	}
	r.Within(r.after, part, func(b *diagram.Box, after uint32) {
		if r.twoDestinations(b) {
			return
		}
		policy, file := then(x.policy, packet.Verdict(after)), then(x.file, packet.Verdict(after))
		if policy == file && policy.Known() {
			result.Host = true
			return
		}
		y := x
		y.box = *b
		list = append(list, y.judged(policy, file))
	})
	return list
}

// then is a verdict of DOCKER-USER with what the rest of FORWARD says of what it returns.
func then(v, after packet.Verdict) packet.Verdict {
	if v&packet.Pass != 0 {
		return v&^packet.Pass | after
	}
	return v
}

// judged says what the difference comes to on the host.
func (x different) judged(policy, file packet.Verdict) different {
	switch {
	case !x.file.Known():
		x.kind = Undecided
	case !policy.IsClosed() && !file.IsOpen():
		x.kind = Opens
	case !policy.IsOpen() && !file.IsClosed():
		x.kind = Closes
	default:
		x.kind = Otherwise
	}
	return x
}

// group puts differences with one reason together: the rule of the chains that decides.
func (r *reading) group(result *Result, list []different) {
	type key struct {
		kind         Kind
		hook         packet.Hook
		policy, file packet.Verdict
		about        About
		rule         string
	}
	groups := map[key]*Missing{}
	slices.SortStableFunc(list, func(a, b different) int {
		return cmp.Or(int(a.kind)-int(b.kind), int(about(a.box))-int(about(b.box)))
	})
	for i, x := range list {
		example := r.example(x)
		k := key{kind: x.kind, hook: x.hook, policy: x.policy, file: x.file, about: about(x.box)}
		var m Missing
		if i < mostBoxes {
			m = r.because(example, x.kind == Undecided)
			k.rule = m.Place + m.Rule
		}
		if k.kind == Undecided {
			k.policy, k.file, k.about = 0, 0, 0
		}
		if known := groups[k]; known != nil {
			known.More++
			continue
		}
		m.Kind, m.Family, m.Hook, m.Policy, m.File = x.kind, r.chain.Family, x.hook, x.policy, x.file
		m.About, m.Fields, m.Example = about(x.box), r.fields(x.box), example
		groups[k] = &m
		result.Missing = append(result.Missing, &m)
	}
}

// fields are what binds a box, but for what About says of it.
func (r *reading) fields(b diagram.Box) []packet.Field {
	switch about(b) {
	case Direct:
		b[packet.Conntrack], b[packet.OrigDest] = nil, nil // it is the destination
	case ToPublished:
		b[packet.Conntrack] = nil
	}
	return r.space.Fields(&b)
}

// example is a packet of a difference, with one destination where it has not been
// rewritten.
func (r *reading) example(x different) packet.Packet {
	p := r.space.Example(x.hook, &x.box)
	if x.hook == packet.Forward && p.Known() && !p.Reply && !p.DNAT && p.State != packet.Related {
		if x.box[packet.OrigDest].Has(diagram.OfAddr(p.Dest)) {
			p.OrigDst = p.Dest
		} else {
			p.Dest = p.OrigDst
		}
		if x.box[packet.OrigPort].Has(diagram.Small(p.Dport)) {
			p.OrigPort = p.Dport
		} else if x.box[packet.DestPort].Has(diagram.Small(p.OrigPort)) {
			p.Dport = p.OrigPort
		}
	}
	return p
}

// because finds the rule of the chains that decides about a packet, or that cannot be
// evaluated.
func (r *reading) because(p packet.Packet, undecided bool) Missing {
	way := r.rules.way(p)
	s := way.Unsure()
	if !undecided {
		s = nil
	}
	if s == nil && len(way.Steps) > 0 && (way.Ended == "" || way.Steps[len(way.Steps)-1].Returns) {
		s = &way.Steps[len(way.Steps)-1]
	}
	if s == nil {
		return Missing{Rule: way.Ended}
	}
	return Missing{Place: r.chain.place(s.Line), Rule: s.Rule, Words: s.Unsure}
}

// About is a kind of packets.
type About int

// The kinds, those that people think of first before the others.
const (
	ToPublished About = iota
	Direct
	InConnection
	RelatedTo
	Answers
	Stray
)

func (a About) String() string {
	return [...]string{
		"connections to published ports",
		"connections to no published port: straight to a container's address, or routed for others",
		"packets of connections that are established",
		"packets related to a connection",
		"replies, including those to connections that containers open",
		"packets that belong to no connection",
	}[a]
}

// about is the first kind of packets that a box has.
func about(b diagram.Box) About {
	kinds := []func(packet.Class) bool{
		func(c packet.Class) bool { return c.State == packet.New && c.DNAT },
		func(c packet.Class) bool { return c.State == packet.New },
		func(c packet.Class) bool { return c.State == packet.Established && !c.Reply },
		func(c packet.Class) bool { return c.State == packet.Related && !c.Reply },
		func(c packet.Class) bool { return c.Reply },
	}
	for i, holds := range kinds {
		if len(packet.ClassSet(holds).Intersect(b[packet.Conntrack])) > 0 {
			return About(i)
		}
	}
	return Stray
}

// sort orders what is missing, worst first.
func (r *Result) sort() {
	slices.SortStableFunc(r.Missing, func(a, b *Missing) int {
		return cmp.Or(int(a.Kind)-int(b.Kind), int(a.Family)-int(b.Family), b.More-a.More)
	})
}

// compareLogs adds the logs of the chains that the policy does not write, or writes of
// other packets.
func (r *reading) compareLogs(result *Result) error {
	dropped, err := r.rawDrops()
	if err != nil {
		return err
	}
	translations := r.translations()
	for _, l := range r.logs {
		why := ""
		for _, hook := range r.hooks {
			said := r.loggedBy(result.Document, l.prefix, hook)
			if said == l.hits[hook] || why != "" {
				continue
			}
			r.Disagree(said, l.hits[hook], func(a, b uint32) bool { return a == b }).Boxes(func(b *diagram.Box, pair diagram.Pair) {
				note := func(x diagram.Box) {
					if why == "" || pair.A == 0 { // what is not logged any more counts more
						why = logDifference(pair, r.example(different{hook: hook, box: x}))
					}
				}
				if hook == packet.Input {
					r.arriving(*b, note)
					return
				}
				r.possible(translations, dropped, *b, note)
			})
		}
		if why == "" {
			continue
		}
		for _, rule := range l.rules {
			result.Lost = append(result.Lost, Lost{r.chain.place(rule.line), rule.text, why})
		}
	}
	return nil
}

func logDifference(pair diagram.Pair, p packet.Packet) string {
	if pair.A == 0 {
		return fmt.Sprintf("the policy does not log all that it logs: not %s", p)
	}
	return fmt.Sprintf("the policy logs more with this prefix, for example %s", p)
}
