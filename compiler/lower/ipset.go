package lower

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
)

// The ipset layout: the ports are found as in the indexed one, and a list of
// sources that takes more than a few rules is an ipset, one for each clause.
//
// A set's name is made of what is in it. So the sets of a new version stand
// beside those of the old one until the rules change at one moment, and no rule
// ever meets a set that was made for another. In the file the lines of a set's
// entries do not name it, so that a source that comes or goes changes its own
// line, and the few that name the set.
type setMaker struct {
	known ipset.Sets
	text  []byte
}

// entries writes ordered clauses and a last label, with sets where sets are
// made.
func (l *lowering) entries(owner string, clauses []clause, last label) []entry {
	if l.sets == nil {
		return sourceList(l.resolve, clauses, last, nil)
	}
	var list []entry
	var decided address.Set
	for _, c := range clauses {
		list = append(list, l.setMembers(owner, c)...)
		matched := address.Without(c.include, c.except)
		if address.Empty(address.Without(matched, decided)) {
			continue // never reached, or of the other family
		}
		members := noneOf(c.exceptIPSets)
		if direct := l.few(matched); direct != nil {
			for _, s := range direct {
				list = append(list, entry{source: s, members: members, label: c.label, origin: c.origin})
			}
		} else {
			comment := fmt.Sprintf("%s: %s", owner, c.origin)
			list = append(list, entry{set: setRef{name: l.sets.set(l, c.include, c.except, comment)}, members: members, label: c.label, origin: c.origin})
		}
		if members != "" {
			continue
		}
		decided = address.Union(decided, matched)
		if decided.Equal(l.resolve.Every()) {
			return list
		}
	}
	if last.next {
		return list
	}
	return append(list, entry{label: last, origin: "default"})
}

// setMembers writes the part of a clause that is about members of ipsets that others
// fill.
func (l *lowering) setMembers(owner string, c clause) []entry {
	var list []entry
	direct := l.few(address.Without(l.resolve.Every(), c.except))
	for _, name := range c.ipsets {
		for _, s := range direct {
			list = append(list, entry{source: s, members: name, label: c.label, origin: c.origin})
		}
		if direct == nil && !address.Empty(address.Without(l.resolve.Every(), c.except)) {
			excepted := l.sets.set(l, c.except, nil, fmt.Sprintf("%s: %s, except", owner, c.origin))
			list = append(list, entry{set: setRef{excepted, true}, members: name, label: c.label, origin: c.origin})
		}
	}
	return list
}

// few returns a set as source matches when they are few enough to be rules.
func (l *lowering) few(set address.Set) []iptables.Source {
	if len(set) > l.opt.Sizes.Inline+1 {
		return nil
	}
	b := &sourceBuilder{resolve: l.resolve}
	if list := b.cover(set); len(list) <= l.opt.Sizes.Inline {
		return list
	}
	return nil
}

// set makes the ipset of what is in include and not in except, and gives its
// name.
func (m *setMaker) set(l *lowering, include, except address.Set, comment string) string {
	s := &ipset.Set{Family: l.family, Entries: setEntries(include, except)}
	s.Name = fmt.Sprintf("%s%d-%s", iptables.SetPrefix, l.family, digestOf(s))
	if m.known[s.Name] == nil {
		m.known[s.Name] = s
		m.text = ipset.Append(m.text, s, iptables.OwnedPrefix+"NEW", comment)
	}
	return s.Name
}

func digestOf(s *ipset.Set) string {
	h := sha256.New()
	w := bufio.NewWriter(h)
	for _, e := range s.Entries {
		w.Write(append(e.Prefix.AppendTo(w.AvailableBuffer()), ' '))
		w.Write(append(strconv.AppendBool(w.AvailableBuffer(), e.NoMatch), '\n'))
	}
	w.Flush()
	return shortened(h.Sum(nil), 12)
}

// setEntries writes a set as the entries of a hash:net, whose longest one that
// holds an address decides: all of include, but for what lies inside except, and
// with nomatch those of except that lie inside include. Where that takes more
// entries than the difference itself, it is the difference.
func setEntries(include, except address.Set) []ipset.Entry {
	cut := entriesOf(address.Without(include, except).Prefixes(), false)
	if !address.Overlap(include, except) {
		return cut
	}
	var list []ipset.Entry
	for _, e := range entriesOf(include.Prefixes(), false) {
		if !address.Covers(except, e.Prefix) {
			list = append(list, e)
		}
	}
	list = append(list, entriesOf(address.Both(include, except).Prefixes(), true)...)
	if len(list) >= len(cut) {
		return cut
	}
	return list
}

// entriesOf writes prefixes as entries. A hash:net takes none of length 0.
func entriesOf(prefixes []netip.Prefix, noMatch bool) []ipset.Entry {
	list := make([]ipset.Entry, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Bits() > 0 {
			list = append(list, ipset.Entry{Prefix: p, NoMatch: noMatch})
			continue
		}
		upper := netip.AddrFrom4([4]byte{0: 128})
		if p.Addr().Is6() {
			upper = netip.AddrFrom16([16]byte{0: 128})
		}
		for _, half := range []netip.Addr{p.Addr(), upper} {
			list = append(list, ipset.Entry{Prefix: netip.PrefixFrom(half, 1), NoMatch: noMatch})
		}
	}
	return list
}
