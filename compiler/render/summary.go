package render

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
)

// Openness is how far a policy's ports are open, in the family in which they are the most.
type Openness int

// The degrees, the widest first.
const (
	ToEverybody Openness = iota
	ToAllBut
	ToSome
	ToNobody
)

var opennessWords = [...]struct{ title, short, anchor string }{
	{"Open to everybody", "everybody", "open-to-everybody"},
	{"Open to everybody with exceptions", "everybody with exceptions", "open-with-exceptions"},
	{"Open to some", "some", "open-to-some"},
	{"Open to nobody", "nobody", "open-to-nobody"},
}

func (o Openness) String() string { return opennessWords[o].title }

// Short is whom it is open to.
func (o Openness) Short() string { return opennessWords[o].short }

// Anchor is where on the page the policies of this kind are listed.
func (o Openness) Anchor() string { return opennessWords[o].anchor }

func (r *Reach) openness() Openness {
	switch {
	case r == nil || len(r.Phrase) == 0:
		return ToNobody
	case page.Everybody(r.Phrase):
		return ToEverybody
	case r.Phrase.Everybody():
		return ToAllBut
	}
	return ToSome
}

// Openness is that of the policy's own scope.
func (p *Policy) Openness() Openness {
	return min(p.reach(packet.IPv4).openness(), p.reach(packet.IPv6).openness())
}

// Only is the one family in which a policy is as open as it is; "" when both are.
func (p *Policy) Only() string {
	four, six := p.reach(packet.IPv4).openness(), p.reach(packet.IPv6).openness()
	switch {
	case four < six:
		return packet.IPv4.String()
	case six < four:
		return packet.IPv6.String()
	}
	return ""
}

// Group is the policies that are equally open.
type Group struct {
	Openness
	Policies []*Policy
}

// Groups are the policies by openness, the widest first.
func (p *Page) Groups() []Group {
	var list []Group
	for o := ToEverybody; o <= ToNobody; o++ {
		g := Group{Openness: o}
		for _, x := range p.Policies {
			if x.Openness() == o {
				g.Policies = append(g.Policies, x)
			}
		}
		if len(g.Policies) > 0 {
			list = append(list, g)
		}
	}
	return list
}

// Ports is how many ports some policies name.
func portCount(list []*Policy) int {
	type span struct{ protocol, first, last int }
	var spans []span
	for _, p := range list {
		for _, s := range p.spans {
			spans = append(spans, span{int(s.Protocol), int(s.First), int(s.Last)})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(a.protocol-b.protocol, a.first-b.first) })
	n, at := 0, span{}
	for _, s := range spans {
		from := s.first
		if s.protocol == at.protocol {
			from = max(from, at.last+1)
		} else {
			at = s
		}
		n += max(s.last-from+1, 0)
		at.last = max(at.last, s.last)
	}
	return n
}

// PortsText is how many ports a group names.
func (g Group) PortsText() string { return page.Plural(portCount(g.Policies), "port", "ports") }

// Lead is what the page is about in a sentence.
func (p *Page) Lead() string {
	if len(p.Policies) == 0 {
		return "No policy names a port."
	}
	return page.Plural(len(p.Policies), "policy names", "policies name") + " " + page.Plural(portCount(p.Policies), "port", "ports") + " that Docker may publish."
}

// Many reports whether there are so many policies that they are better folded.
func (p *Page) Many() bool { return len(p.Policies) > 8 }

// UnlistedText says what happens to what no policy names, in both families.
func (h Host) UnlistedText() string {
	text := map[string]string{
		"allow":  "left to Docker, so open in IPv4 and IPv6 wherever Docker publishes it",
		"deny":   "dropped on its way to a container, in IPv4 and IPv6",
		"reject": "rejected on its way to a container, in IPv4 and IPv6"}[h.Unlisted] + h.unlessGuarded()
	if h.UserlandProxy {
		text += "; at docker-proxy, the host's own INPUT rules decide"
	}
	return text
}

// NotListed says the same of packets of which the page has said the family.
func (h Host) NotListed() string {
	text := "no policy names it, so it is " + h.UnlistedShort() + h.unlessGuarded()
	if h.UserlandProxy {
		text += "; at docker-proxy, the host's own INPUT rules decide"
	}
	return text
}

// unlessGuarded says that the guard comes first, where that makes a difference.
func (h Host) unlessGuarded() string {
	if h.guarded {
		return ", for sources about which the guard does not decide"
	}
	return ""
}

// UnlistedShort is the same in few words.
func (h Host) UnlistedShort() string {
	return map[string]string{"allow": "left to Docker", "deny": "dropped", "reject": "rejected"}[h.Unlisted]
}

// Outcome says what the table of who reaches what is about.
func (p *Page) Outcome() string {
	text := "This is the outcome of all rules together, the guard and narrower policies included."
	if list := p.filled(); len(list) > 0 {
		text += " What is in sets that are filled at run time is not known, and they count as empty: " + strings.Join(list, ", ") + "."
	}
	return text
}

// filled are the sets that others fill.
func (p *Page) filled() []string {
	var list []string
	for _, s := range p.Sets {
		if s.filled {
			list = append(list, page.Visible(s.Name))
		}
	}
	return list
}

// Find is the text by which the filter box finds a policy.
func (p *Policy) Find() string {
	text := page.Visible(p.Name + " " + strings.Join(p.Ports, " ") + " " + strings.Join(p.Addresses, " ") + " " + page.Prose(p.Description))
	for i := range p.Reach {
		text += " " + p.Reach[i].Phrase.Shorten(mostToFind)
	}
	return text
}

// mostToFind is how many sources of a policy the filter box knows.
const mostToFind = 20
