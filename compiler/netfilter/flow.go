package netfilter

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// state is everything about a packet except its source, with what the path so far has changed.
type state struct {
	packet packet.Packet
	local  bool // the destination is one of the host's own addresses
	// noMark is the rule after which the packet's mark is unknown.
	noMark      Place
	rewrittenBy Place // the rule that changed the destination
	redirected  bool  // to a host address, but it is not known which one
}

// destType is the type of the destination, as addrtype calls it.
func (s state) destType() string {
	if s.local {
		return "LOCAL"
	}
	return "UNICAST"
}

// flow is packets from some sources that have been treated alike so far.
type flow struct {
	sources diagram.Set
	state
	doubt Place // the last rule on the path that cannot be evaluated
}

// of is the part of a flow from the given sources.
func (x flow) of(s diagram.Set) flow {
	x.sources = x.sources.Intersect(s)
	return x
}

// flows are packets at one place. Two flows with the same state have no source in common: the
// path that a packet took does not matter.
type flows []flow

// add adds the sources of a flow that are not there yet.
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

// minus is what is in a but not in b; neither is nil.
func minus(a, b diagram.Set) diagram.Set {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	return a.Intersect(b.Complement(a[len(a)-1].Hi))
}
