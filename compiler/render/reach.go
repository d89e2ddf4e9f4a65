package render

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Reach is who gets in over a family, as one policy has it.
type Reach struct {
	Family packet.Family
	Open   address.Set    // those who get in
	Phrase address.Phrase // the same in words
	Rest   string         // what becomes of everybody else

	closed address.Set // the others
}

// MarshalJSON writes those who get in as CIDRs, or the others where they are fewer, and
// the same in words.
func (r Reach) MarshalJSON() ([]byte, error) {
	open, closed := cidrs(r.Open), cidrs(r.closed)
	allBut := len(closed) < len(open)
	if allBut {
		open = closed
	}
	return json.Marshal(struct {
		Family packet.Family `json:"family"`
		Open   []string      `json:"open"`
		AllBut bool          `json:"all_but,omitempty"`
		Who    string        `json:"who"`
		Rest   string        `json:"rest,omitempty"`
	}{r.Family, open, allBut, r.Phrase.String(), r.Rest})
}

// cidrs writes a set as the fewest CIDRs, single addresses without a length.
func cidrs(s address.Set) []string {
	list := []string{}
	for _, p := range s.Prefixes() {
		list = append(list, prefix(p.String()))
	}
	return list
}

// Outside is what decides about a policy's ports where the policy does not.
type Outside struct {
	Family   packet.Family `json:"family,omitempty"` // 0 for both
	Where    string        `json:"where"`
	Unlisted bool          `json:"unlisted,omitempty"` // nothing names them there
	Policies []string      `json:"policies,omitempty"` // those that may decide
	All      bool          `json:"all,omitempty"`      // Policies has one, and it decides about all ports
}

func reached(r prove.Reach) Reach {
	s := Reach{Family: r.Family}
	s.Open, s.closed = r.Open()
	var closed packet.Verdict
	for _, p := range r.Parts {
		if !p.Verdict.IsOpen() {
			closed |= p.Verdict
		}
	}
	s.Phrase, s.Rest = address.PhraseOf(s.Open), fate(closed)
	return s
}

// fate says what becomes of packets that do not get in.
func fate(v packet.Verdict) string {
	var list []string
	if v&packet.Deny != 0 {
		list = append(list, "dropped")
	}
	if v&(packet.Reset|packet.Unreachable) != 0 {
		list = append(list, "rejected")
	}
	return strings.Join(list, " or ")
}

// outside works out what decides where a policy does not.
func outside(doc *schema.Document, p *schema.Policy, shown *Policy) []Outside {
	var list []Outside
	for _, f := range packet.Families {
		has := inFamily(p, f)
		switch {
		case has && shown.reach(f) == nil:
			list = append(list, Outside{Family: f, Where: "narrower policies decide about all of it", Policies: shown.Narrower})
		case !has:
			list = append(list, elsewhere(doc, p, f, "not in this policy's addresses"))
		case len(p.Address) > 0:
			list = append(list, elsewhere(doc, p, f, "other addresses of this host"))
		}
	}
	if n := len(list); n == 2 && list[0].Where == list[1].Where && list[0].Unlisted == list[1].Unlisted && list[0].All == list[1].All && slices.Equal(list[0].Policies, list[1].Policies) {
		list[0].Family = 0
		list = list[:1]
	}
	if p.Narrowed && !allInterfaces(doc.Host.Outside(), p.External) {
		list = append(list, elsewhere(doc, p, 0, "other interfaces"))
	}
	return list
}

func allInterfaces(these, within []schema.Interface) bool {
	return !slices.ContainsFunc(these, func(i schema.Interface) bool {
		return !slices.ContainsFunc(within, func(j schema.Interface) bool { return j.Covers(i) })
	})
}

// elsewhere looks for the policies that name a policy's ports in a family, or in any.
func elsewhere(doc *schema.Document, p *schema.Policy, f packet.Family, where string) Outside {
	o := Outside{Family: f, Where: where}
	for _, q := range doc.Policies {
		if q == p || !sharePort(p, q) || f != 0 && !inFamily(q, f) {
			continue
		}
		o.Policies = append(o.Policies, q.Name)
		o.All = o.All || len(q.Address) == 0 && portsWithin(p, q) && allInterfaces(doc.Host.Outside(), q.External)
	}
	o.All = o.All && len(o.Policies) == 1
	o.Unlisted = len(o.Policies) == 0
	return o
}

// inFamily reports whether a policy is about packets of a family.
func inFamily(p *schema.Policy, f packet.Family) bool {
	if len(p.Address) == 0 {
		return true
	}
	for _, a := range p.Address {
		if a.Addr().Is4() == (f == packet.IPv4) {
			return true
		}
	}
	return false
}

func sharePort(p, q *schema.Policy) bool {
	for _, a := range p.Ports {
		for _, b := range q.Ports {
			if a.Protocol == b.Protocol && a.First <= b.Last && b.First <= a.Last {
				return true
			}
		}
	}
	return false
}

// portsWithin reports whether each range of p lies in one of q.
func portsWithin(p, q *schema.Policy) bool {
	for _, a := range p.Ports {
		if !slices.ContainsFunc(q.Ports, func(b schema.Ports) bool {
			return a.Protocol == b.Protocol && b.First <= a.First && a.Last <= b.Last
		}) {
			return false
		}
	}
	return true
}

// reach is who gets in over a family; nil where the policy decides about nobody.
func (p *Policy) reach(f packet.Family) *Reach {
	for i := range p.Reach {
		if p.Reach[i].Family == f {
			return &p.Reach[i]
		}
	}
	return nil
}

// absent is what decides about a family in which the policy itself decides nothing.
func (p *Policy) absent(f packet.Family) *Outside {
	for i := range p.Outside {
		if o := &p.Outside[i]; (o.Family == f || o.Family == 0) && p.reach(f) == nil {
			return o // the families come first
		}
	}
	return nil
}

// Rest says what becomes of those who do not get in, and "" where there are none.
func (p *Policy) Rest() string {
	four, six := p.reach(packet.IPv4), p.reach(packet.IPv6)
	switch {
	case four == nil && six == nil:
		return ""
	case four == nil:
		return six.Rest
	case six == nil || six.Rest == "" || four.Rest == six.Rest:
		return four.Rest
	case four.Rest == "":
		return six.Rest
	}
	return "IPv4 " + four.Rest + ", IPv6 " + six.Rest
}

// Elsewhere are the other places at which the policy's ports are decided, with what
// decides there.
func (p *Policy) Elsewhere() []Outside {
	var list []Outside
	for i := range p.Outside {
		if o := &p.Outside[i]; o != p.absent(packet.IPv4) && o != p.absent(packet.IPv6) {
			list = append(list, *o)
		}
	}
	return list
}

// Title is the place that an Outside is about.
func (o Outside) Title() string {
	if o.Family == 0 {
		return o.Where
	}
	return o.Family.String() + ", " + o.Where
}
