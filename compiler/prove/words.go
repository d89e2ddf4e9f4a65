package prove

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
	"go4.org/netipx"
)

// Clause says who sends some packets, and where to: "everybody except 192.168.0.1 →
// tcp port 8080".
type Clause struct {
	Who   address.Phrase
	Ports string   // "tcp ports 80, 443 and 8000-8010"
	Notes []string // what else binds the packets

	unnamed bool // all that no policy names
}

// mostNames is how many addresses a clause names.
const mostNames = 8

func (c Clause) String() string {
	text := c.Who.Shorten(mostNames) + " → " + c.Ports
	if len(c.Notes) > 0 {
		text += " (" + strings.Join(c.Notes, "; ") + ")"
	}
	return text
}

// aspect is one of three ways for conntrack to see a packet. A clause is about
// connections in their own direction, for which the packets that open them stand, where
// it does not say more.
type aspect int

const (
	forth aspect = iota
	back
	unknown
	aspects
)

// standIns are the classes that stand for an aspect, the first that a box has.
var standIns = [aspects][]diagram.Set{
	forth:   {original(packet.New), original(packet.Established), original(packet.Related)},
	back:    {reply(packet.Established), reply(packet.Related)},
	unknown: {original(packet.Invalid), original(packet.Untracked)},
}

func original(s packet.State) diagram.Set {
	return packet.ClassSet(func(c packet.Class) bool { return c.State == s && !c.Reply })
}

func reply(s packet.State) diagram.Set {
	return packet.ClassSet(func(c packet.Class) bool { return c.State == s && c.Reply })
}

// describer words boxes for one question.
type describer struct {
	*question
	externals diagram.Set // coming in on them goes without saying
	scopes    *scopes     // nil where no policy says what is named
	own       diagram.Set // addresses that are "its addresses"; nil for none
}

// both describes parts of both hooks; what is the same at each is said once.
func (d *describer) both(parts []part) []Clause {
	var list []Clause
	said := map[string]bool{}
	for _, hook := range packet.Hooks {
		var boxes []diagram.Box
		for _, x := range parts {
			if x.hook == hook {
				boxes = append(boxes, x.box)
			}
		}
		for _, c := range d.clauses(boxes) {
			if said[c.String()] {
				continue
			}
			if hook == packet.Input {
				c.Notes = append(c.Notes, "to the host itself, for docker-proxy")
			}
			said[c.String()] = true
			list = append(list, c)
		}
	}
	return list
}

// clauses describes boxes, which must have no packet in common.
func (d *describer) clauses(boxes []diagram.Box) []Clause {
	var list []Clause
	var seen []map[aspect]bool
	at := map[string]int{}
	states := diagram.None
	for _, b := range boxes {
		states = states.Union(b[packet.Conntrack])
	}
	for a := range aspects {
		for _, c := range d.ofAspect(a, boxes) {
			key := c.String()
			i, ok := at[key]
			if !ok {
				i, at[key] = len(list), len(list)
				list, seen = append(list, c), append(seen, map[aspect]bool{})
			}
			seen[i][a] = true
		}
	}
	for i := range list {
		if words := aspectWords(seen[i], states); words != "" {
			list[i].Notes = append(list[i].Notes, words)
		}
	}
	return list
}

// ofAspect describes what boxes hold of one aspect.
func (d *describer) ofAspect(a aspect, boxes []diagram.Box) []Clause {
	for _, classes := range standIns[a] {
		var part []diagram.Box
		for _, b := range boxes {
			b[packet.Conntrack] = b[packet.Conntrack].Intersect(classes)
			if slices.Equal(b[packet.Conntrack], classes) {
				b[packet.Conntrack] = nil
			}
			if b[packet.Conntrack] == nil || len(b[packet.Conntrack]) > 0 {
				part = append(part, b)
			}
		}
		if len(part) == 0 {
			continue
		}
		if c, ok := d.unnamed(part); a == forth && ok {
			return []Clause{c}
		}
		var list []Clause
		for _, b := range merged(d.space, part) {
			if a == unknown {
				b = own(b)
			}
			list = append(list, d.clause(b))
		}
		return joinPorts(list)
	}
	return nil
}

// unnamed describes boxes that are all that no policy names, for the same sources.
func (d *describer) unnamed(boxes []diagram.Box) (Clause, bool) {
	if d.scopes == nil || d.externals == nil {
		return Clause{}, false
	}
	var items []diagram.Item
	for _, b := range boxes {
		if !slices.Equal(b[packet.Source], boxes[0][packet.Source]) || b[packet.Conntrack] != nil {
			return Clause{}, false
		}
		b[packet.Source] = nil
		items = append(items, diagram.Item{Box: &b, Target: diagram.Leaf(1)})
	}
	outside := diagram.Item{Box: &diagram.Box{packet.In: d.externals}, Target: d.Relabel(d.scopes.owner, func(leaf uint32) uint32 {
		if leaf == 0 {
			return 1
		}
		return 0
	})}
	nowhere := diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)}
	fresh := packet.Class{State: packet.New}.Value()
	these := d.Fix(d.Build(append(items, nowhere)), packet.Conntrack, fresh)
	if all := d.Fix(d.Build([]diagram.Item{outside, nowhere}), packet.Conntrack, fresh); these != all {
		return Clause{}, false
	}
	return Clause{Who: d.phraseOf(boxes[0][packet.Source]), Ports: "all forwarded traffic that no policy names", unnamed: true}, true
}

// own is a box of packets that conntrack does not know, with their destination in the
// place of an original one, which they do not have.
func own(b diagram.Box) diagram.Box {
	for original, now := range map[int]int{packet.OrigPort: packet.DestPort, packet.OrigDest: packet.Dest} {
		if b[original] == nil {
			b[original], b[now] = b[now], nil
		}
	}
	return b
}

// clause describes one box.
func (d *describer) clause(b diagram.Box) Clause {
	c := Clause{Who: d.phraseOf(b[packet.Source]), Ports: portWords(b[packet.Proto], b[packet.OrigPort])}
	if d.externals != nil && slices.Equal(b[packet.In], d.externals) {
		b[packet.In] = nil
	}
	b[packet.Source], b[packet.Proto], b[packet.OrigPort] = nil, nil, nil
	if b[packet.OrigDest] != nil {
		c.Ports += " of " + d.ofHost(b[packet.OrigDest])
		b[packet.OrigDest] = nil
	}
	for _, f := range d.space.Fields(&b) {
		name := f.Name
		switch name {
		case "in":
			name = "arriving on"
		case "out":
			name = "leaving on"
		}
		c.Notes = append(c.Notes, name+" "+packet.Shorten(f.Values))
	}
	return c
}

// ofHost writes original addresses.
func (d *describer) ofHost(addresses diagram.Set) string {
	switch {
	case d.own == nil || !slices.Equal(d.own, addresses):
		return hostWords(d.phraseOf(addresses))
	case len(addresses) == 1 && addresses[0].Lo == addresses[0].Hi:
		return "its address"
	}
	return "its addresses"
}

// hostWords writes addresses of the host, where everybody is every address.
func hostWords(p address.Phrase) string {
	if len(p) != 1 || !p.Everybody() || len(p[0].Except) == 0 {
		return p.Shorten(mostNames)
	}
	var others address.Phrase
	for _, e := range p[0].Except {
		others = append(others, address.Part{Base: e})
	}
	return "every address except " + others.Shorten(mostNames)
}

// joinPorts makes one clause of those that differ in their ports alone.
func joinPorts(list []Clause) []Clause {
	at := map[string][]int{} // by how the clauses begin
	var out []Clause
	for _, c := range list {
		key := c.Who.Shorten(mostNames) + "\x00" + strings.Join(c.Notes, "\x00")
		same := slices.IndexFunc(at[key], func(i int) bool { return out[i].Who.Equal(c.Who) })
		if same >= 0 {
			out[at[key][same]].Ports += ", " + c.Ports
			continue
		}
		at[key] = append(at[key], len(out))
		out = append(out, c)
	}
	return out
}

// merged joins boxes that differ in one property alone, as often as there are some.
// The boxes must have no packet in common; they are then the same packets as before.
func merged(s *packet.Space, list []diagram.Box) []diagram.Box {
	for before := -1; before != len(list); {
		before = len(list)
		for p := range s.Properties() {
			list = mergedIn(s, list, p)
		}
	}
	return list
}

func mergedIn(s *packet.Space, list []diagram.Box, property int) []diagram.Box {
	if len(list) < 2 {
		return list
	}
	at := map[string]int{}
	spans := map[int]diagram.Set{}
	var out []diagram.Box
	for _, b := range list {
		rest := b
		rest[property] = nil
		key := rest.Key()
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, b)
			continue
		}
		if _, ok := spans[i]; !ok {
			spans[i] = slices.Clone(out[i][property].OrAll(s.Max(property)))
		}
		spans[i] = append(spans[i], b[property].OrAll(s.Max(property))...)
	}
	for i, set := range spans {
		set = diagram.Normal(set)
		if len(set) == 1 && set[0].Lo == (diagram.Value{}) && set[0].Hi == s.Max(property) {
			set = nil
		}
		out[i][property] = set
	}
	return out
}

// phraseOf writes a set of addresses as people do. A large one is remembered: it is often
// that of several boxes.
func (q *question) phraseOf(set diagram.Set) address.Phrase {
	const large, most = 100, 8
	for _, known := range q.phrases {
		if slices.Equal(known.set, set) {
			return known.phrase
		}
	}
	v6 := q.space.Family == packet.IPv6
	every := set.OrAll(q.Max(packet.Source))
	list := make(address.Set, 0, len(every))
	for _, x := range every {
		list = append(list, netipx.IPRangeFrom(x.Lo.Addr(v6), x.Hi.Addr(v6)))
	}
	phrase := address.PhraseOf(list)
	if len(set) > large {
		q.phrases = append(q.phrases[max(0, len(q.phrases)-most+1):], knownPhrase{set, phrase})
	}
	return phrase
}

// knownPhrase is a set of addresses and how it is written.
type knownPhrase struct {
	set    diagram.Set
	phrase address.Phrase
}

// portWords says which protocols and ports: "tcp ports 80, 443 and 8000-8010", "every
// tcp port except 22", "every port".
func portWords(protocols, ports diagram.Set) string {
	if protocols == nil && ports == nil {
		return "every port"
	}
	if protocols == nil {
		return "of every protocol " + numbered("port", "", ports, 65535)
	}
	others := protocols.Complement(diagram.Small(255))
	if ports != nil {
		return numbered("port", protocolWords(protocols)+" ", ports, 65535)
	}
	if len(others) < len(protocols) {
		return "every protocol except " + protocolWords(others)
	}
	for _, x := range protocols {
		for n := x.Lo.Lo; n <= x.Hi.Lo; n++ {
			if p := packet.Protocol(n); p != packet.TCP && p != packet.UDP && p != packet.SCTP {
				return protocolWords(protocols)
			}
		}
	}
	return "every " + protocolWords(protocols) + " port"
}

func numbered(noun, of string, set diagram.Set, most int) string {
	if others := set.Complement(diagram.Small(most)); len(others) > 0 && len(others) < len(set) {
		return "every " + of + noun + " except " + listed(numbers(others))
	}
	if len(set) > 1 || set[0].Lo != set[0].Hi {
		noun += "s"
	}
	return of + noun + " " + listed(numbers(set))
}

func protocolWords(set diagram.Set) string {
	var list []string
	for _, x := range set {
		if x.Hi.Lo-x.Lo.Lo > 3 {
			list = append(list, fmt.Sprintf("protocols %d-%d", x.Lo.Lo, x.Hi.Lo))
			continue
		}
		for n := x.Lo.Lo; n <= x.Hi.Lo; n++ {
			list = append(list, packet.Protocol(n).String())
		}
	}
	return listed(list)
}

func numbers(set diagram.Set) []string {
	var list []string
	for _, x := range set {
		if x.Lo == x.Hi {
			list = append(list, fmt.Sprint(x.Lo.Lo))
		} else {
			list = append(list, fmt.Sprintf("%d-%d", x.Lo.Lo, x.Hi.Lo))
		}
	}
	return list
}

// listed writes a list in words: "80, 443 and 8080".
func listed(list []string) string {
	const most = 12
	if len(list) > most {
		list = append(slices.Clone(list[:most]), fmt.Sprintf("%d more", len(list)-most))
	}
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// aspectWords says which packets of a connection a clause is about, of boxes that hold
// these classes; "" where it is those in its own direction.
func aspectWords(seen map[aspect]bool, classes diagram.Set) string {
	has := func(s packet.State) bool { return overlap(classes, original(s)) }
	switch {
	case seen[forth] && seen[back] && !has(packet.New) && has(packet.Established):
		return "established connections and their answers"
	case seen[forth] && seen[back] && seen[unknown]:
		return "every connection state"
	case seen[forth] && seen[back]:
		return "and the answers"
	case seen[forth] && seen[unknown]:
		return "also packets that conntrack does not know"
	case seen[back] && seen[unknown]:
		return "answers, and packets that conntrack does not know"
	case seen[back]:
		return "answers"
	case seen[unknown]:
		return "packets that conntrack does not know"
	case has(packet.New) && has(packet.Established):
		return ""
	case has(packet.New):
		return "new connections only"
	case has(packet.Established):
		return "established connections only"
	}
	return "packets related to a connection"
}

func overlap(a, b diagram.Set) bool {
	both := a.Intersect(b)
	return both == nil || len(both) > 0
}
