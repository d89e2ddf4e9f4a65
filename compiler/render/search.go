package render

import (
	_ "embed"
	"encoding/json"
	"math/big"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

//go:embed search.js
var searchText string

// mostToSearch is how many ranges of addresses of one policy or set are searched.
const mostToSearch = 5000

// searched is what the search knows.
type searched struct {
	Filled  []string `json:"filled"` // sets that others fill: they count as empty
	Entries []entry  `json:"entries"`
}

// entry is a policy or a set that can be found.
type entry struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	URL   string `json:"url"`
	Shown string `json:"shown,omitempty"`
	Text  string `json:"text"`
	Ports []any  `json:"ports"` // of decided
	// Sources are ranges of those who get in or belong to a set, and At of a policy's host
	// addresses, over IPv4 and IPv6.
	Sources [2][]string `json:"sources"`
	Cut     [2]bool     `json:"cut"` // there are more sources
	At      [2][]string `json:"at"`
}

// searchIndex is what the search knows, as a script: a page that was opened from a folder may
// not read other files.
func (p *Page) searchIndex() string {
	index := searched{Filled: []string{}, Entries: []entry{}}
	scopes := p.scopes()
	for i, x := range p.Policies {
		e := entry{Kind: "policy", Name: page.Visible(x.Name), URL: string(p.href("policy", x.Name)), Shown: page.Visible(x.shown()), Ports: []any{},
			Text: strings.ToLower(page.Visible(x.Name + " " + strings.Join(x.External, " ") + " " + page.Prose(x.Description)))}
		for _, d := range scopes[x.Name].decided(p.inside(i, scopes)) {
			e.Ports = append(e.Ports, []any{d.Protocol.String(), d.First, d.Last, d.how[0], d.how[1]})
		}
		for f, family := range packet.Families {
			if r := x.reach(family); r != nil {
				e.Sources[f], e.Cut[f] = inHex(r.Open)
			}
			if len(x.Addresses) > 0 {
				e.At[f], _ = inHex(scopes[x.Name].addresses[f])
			}
		}
		index.Entries = append(index.Entries, e)
	}
	for _, s := range p.Sets {
		e := entry{Kind: "set", Name: page.Visible(s.Name), URL: string(p.href("set", s.Name)), Ports: []any{}}
		text := s.Name
		if s.filled {
			index.Filled = append(index.Filled, page.Visible(s.Name))
			text += " " + strings.Join(s.Who.Written(), " ") // the names of its ipsets
		}
		e.Text = strings.ToLower(page.Visible(text))
		for f := range packet.Families {
			e.Sources[f], e.Cut[f] = inHex(s.members[f])
		}
		index.Entries = append(index.Entries, e)
	}
	text, err := json.Marshal(index)
	if err != nil {
		panic(err) // cannot happen: it is strings and numbers
	}
	return "window.seawallIndex = " + string(text) + ";\n"
}

// shown is what a policy is about, in few words.
func (p *Policy) shown() string {
	text := short(p.Ports)
	if len(p.Addresses) > 0 {
		text += " on " + short(p.Addresses)
	}
	if len(p.External) > 0 {
		text += " from " + short(p.External)
	}
	return text
}

// inHex writes ranges of addresses as the search reads them, the first of many.
func inHex(s address.Set) (list []string, cut bool) {
	for i, r := range s {
		if i == mostToSearch {
			return list, true
		}
		list = append(list, hex(r.From())+"-"+hex(r.To()))
	}
	return list, false
}

func hex(a netip.Addr) string { return new(big.Int).SetBytes(a.AsSlice()).Text(16) }

// scope is where a policy decides, but for narrower policies.
type scope struct {
	ports      []schema.Ports
	addresses  [2]address.Set // over IPv4 and IPv6
	interfaces []schema.Interface
}

// scopes are those of all policies, by name.
func (p *Page) scopes() map[string]*scope {
	var every [2]address.Set
	for f, family := range packet.Families {
		every[f] = address.NewResolver(family, nil).Every()
	}
	outside := interfaces(p.Host.External)
	if len(outside) == 0 {
		outside = []schema.Interface{{Prefix: true}}
	}
	scopes := map[string]*scope{}
	for _, x := range p.Policies {
		s := &scope{x.spans, every, outside}
		if len(x.External) > 0 {
			s.interfaces = interfaces(x.External)
		}
		if len(x.Addresses) > 0 {
			s.addresses = ranges(x.Addresses)
		}
		scopes[x.Name] = s
	}
	return scopes
}

func interfaces(names []string) []schema.Interface {
	var list []schema.Interface
	for _, n := range names {
		name, prefix := strings.CutSuffix(n, "+")
		list = append(list, schema.Interface{Name: name, Prefix: prefix})
	}
	return list
}

// ranges are addresses and CIDRs as sets, over IPv4 and IPv6.
func ranges(texts []string) (sets [2]address.Set) {
	var b netipx.IPSetBuilder
	for _, t := range texts {
		if n, err := netip.ParsePrefix(t); err == nil {
			b.AddPrefix(n)
		} else if a, err := netip.ParseAddr(t); err == nil {
			b.Add(a)
		}
	}
	if all, err := b.IPSet(); err == nil {
		for f, family := range packet.Families {
			sets[f] = address.NewResolver(family, nil).Of(all)
		}
	}
	return sets
}

// inside are the scopes of the policies that are narrower than one.
func (p *Page) inside(policy int, scopes map[string]*scope) []*scope {
	var list []*scope
	for _, name := range p.Policies[policy].Narrower {
		list = append(list, scopes[name])
	}
	return list
}

// How far a policy decides about a port.
const (
	nowhere = iota
	partly  // where no narrower policy does
	wholly
)

// decided is neighbouring ports about which a policy decides equally far.
type decided struct {
	schema.Ports
	how [2]int // over IPv4 and IPv6
}

// claim is ports of a narrower policy.
type claim struct {
	schema.Ports
	by *scope
}

// decided cuts a policy's ports where a narrower policy begins or ends.
func (s *scope) decided(narrower []*scope) []decided {
	var claims []claim
	for _, n := range narrower {
		for _, r := range n.ports {
			claims = append(claims, claim{r, n})
		}
	}
	slices.SortFunc(claims, func(a, b claim) int { return int(a.First) - int(b.First) })
	var list []decided
	for _, r := range s.ports {
		list = append(list, s.cut(r, claims)...)
	}
	return list
}

// cut does so for neighbouring ports. The claims are in order.
func (s *scope) cut(r schema.Ports, claims []claim) []decided {
	var here []claim
	starts := []int{int(r.First), int(r.Last) + 1}
	for _, c := range claims {
		if c.Protocol == r.Protocol && c.First <= r.Last && r.First <= c.Last {
			here = append(here, c)
			starts = append(starts, max(int(c.First), int(r.First)), min(int(c.Last), int(r.Last))+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var list []decided
	var open []claim
	for i, end := range starts[1:] {
		first := starts[i]
		for len(here) > 0 && int(here[0].First) <= first {
			open, here = append(open, here[0]), here[1:]
		}
		open = slices.DeleteFunc(open, func(c claim) bool { return int(c.Last) < first })
		ports := schema.Ports{Protocol: r.Protocol, First: uint16(first), Last: uint16(end - 1)}
		list = append(list, decided{ports, s.without(open)})
	}
	return list
}

// without is how far a policy decides about a port that narrower ones have as well. A family
// in which it has no address is as the other.
func (s *scope) without(narrower []claim) (how [2]int) {
	for f := range how {
		how[f] = wholly
		if slices.ContainsFunc(narrower, func(c claim) bool { return len(c.by.addresses[f]) > 0 }) {
			how[f] = nowhere
			if slices.ContainsFunc(s.interfaces, func(i schema.Interface) bool { return len(s.left(f, i, narrower)) > 0 }) {
				how[f] = partly
			}
		}
	}
	for f := range how {
		if len(s.addresses[f]) == 0 {
			how[f] = how[1-f]
		}
	}
	return how
}

// left are the addresses of a family that narrower policies do not have on an interface.
func (s *scope) left(f int, on schema.Interface, narrower []claim) address.Set {
	left := s.addresses[f]
	for _, c := range narrower {
		if slices.ContainsFunc(c.by.interfaces, func(i schema.Interface) bool { return i.Covers(on) }) {
			left = address.Without(left, c.by.addresses[f])
		}
	}
	return left
}
