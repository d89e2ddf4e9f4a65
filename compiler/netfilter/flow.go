package netfilter

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// state is all of a packet but its source, and what the way so far has made of it.
type state struct {
	packet packet.Packet
	local  bool // the destination is one of the host's own addresses
	// noMark is the rule after which the packet's mark is not known.
	noMark      Place
	rewrittenBy Place // the rule that changed the destination
	redirected  bool  // to an address of the host, of which it is not known which
}

// destType is the kind of the destination, as addrtype names it.
func (s state) destType() string {
	if s.local {
		return "LOCAL"
	}
	return "UNICAST"
}

// flow is packets from some sources that were treated alike so far.
type flow struct {
	sources diagram.Set
	state
	doubt Place // the last rule on the way that cannot be evaluated
}

// of is the part of a flow from some of its sources.
func (x flow) of(s diagram.Set) flow {
	x.sources = x.sources.Intersect(s)
	return x
}

// flows are packets at one place. No two flows of one state have a source in common: it
// does not matter on which way a packet came.
type flows []flow

// add adds a flow, but for what is there already.
func (f *flows) add(x flow) {
	same := -1
	for i, y := range *f {
		if y.state == x.state {
			x.sources = minus(x.sources, y.sources)
			if y.doubt == x.doubt {
				same = i
			}
		}
	}
	switch {
	case len(x.sources) == 0:
	case same >= 0:
		(*f)[same].sources = (*f)[same].sources.Union(x.sources)
	default:
		*f = append(*f, x)
	}
}

// minus is what is in a and not in b; neither is nil.
func minus(a, b diagram.Set) diagram.Set {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	return a.Intersect(b.Complement(a[len(a)-1].Hi))
}
