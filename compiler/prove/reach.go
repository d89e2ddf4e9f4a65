package prove

import (
	"net/netip"

	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
)

// Reach is what a policy says to each source of one family: the whole address
// space in order, cut where the verdict changes.
type Reach struct {
	Family rules.Family
	To     Packet // the packet whose source is varied
	Parts  []ReachPart
}

// ReachPart is neighbouring sources with one verdict.
type ReachPart struct {
	First, Last netip.Addr
	Verdict     string // as Difference has it
	CIDRs       []string
}

// Open tells whether the part's sources get in.
func (p ReachPart) Open() bool { return p.Verdict == "pass" || p.Verdict == "accept" }

// ReachOf gives the sources of new connections to a policy's ports, by family,
// with everything that decides about them, the guard too. It speaks of the
// first port, address and interface of its scope that no narrower policy takes;
// a family in which there is none is left out.
func ReachOf(doc *schema.Document, p *schema.Policy) []Reach {
	var list []Reach
	for _, family := range []rules.Family{rules.IPv4, rules.IPv6} {
		d := newDiagrams(newSpace(family, policyPatterns(doc)))
		scopes := newScopes(d, Side{}, Side{Policy: doc})
		var at *box
		d.boxes(scopes.owner, func(b *box, owner uint32) {
			if at == nil && scopes.names[owner>>fileShift-1] == p.Name {
				found := *b
				at = &found
			}
		})
		if at == nil {
			continue
		}
		packet := d.packet(Forward, at)
		packet.State, packet.Reply, packet.DNAT = "NEW", false, true
		list = append(list, Reach{family, packet, d.reach(d.policy(doc, Forward, newSourceSets(family)), packet)})
	}
	return list
}

// reach follows a function for a packet up to its source, and gives the rest.
func (d *diagrams) reach(f ref, p Packet) []ReachPart {
	v := d.values(p)
	for !f.isLeaf() && d.nodes[f].property != pSrc {
		n := &d.nodes[f]
		f = n.kids[n.at(v[n.property])]
	}
	n := d.parts(f, pSrc)
	v6 := d.family == rules.IPv6
	var list []ReachPart
	for i, k := range n.kids {
		end := d.max(pSrc)
		if i+1 < len(n.starts) {
			end = n.starts[i+1].prev()
		}
		list = append(list, ReachPart{n.starts[i].addr(v6), end.addr(v6), words(k.bits()), cidrs(span{n.starts[i], end}, v6)})
	}
	return list
}
