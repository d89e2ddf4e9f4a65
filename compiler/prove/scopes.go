package prove

import (
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
)

// scopes says which policy's scope a packet at a hook is in, and leaves by a bridge
// where that counts: that of the new side, else that of the old one.
type scopes struct {
	names []string
	owner diagram.Ref // leaves are indices into names, from 1
}

func newScopes(q *question, hook packet.Hook, before, after Side) *scopes {
	s := &scopes{}
	var list []diagram.Item
	known := packet.ClassSet(packet.Class.Known)
	listed := map[string]bool{} // what comes twice, as most of the other side does, is never reached
	add := func(b diagram.Box) {
		if key := b.Key(); !listed[key] {
			listed[key] = true
			list = append(list, diagram.Item{Box: &b, Target: diagram.Leaf(uint32(len(s.names)))})
		}
	}
	for _, side := range []Side{after, before} {
		if side.Policy == nil {
			continue
		}
		r := meaning.NewReader(q.Store, q.space, side.Policy, nil)
		for _, p := range r.NarrowFirst() {
			s.names = append(s.names, p.Name)
			for _, b := range r.Scope(p) {
				if hook == packet.Input {
					add(meaning.InvalidIn(b))
				}
				b[packet.Conntrack] = known
				if hook == packet.Forward {
					b[packet.Out] = r.Bridges()
				}
				add(b)
			}
		}
	}
	s.owner = q.Build(append(list, diagram.Item{Box: &diagram.Box{}, Target: diagram.Leaf(0)}))
	return s
}

// name is the policy of a leaf, "" for none.
func (s *scopes) name(leaf uint32) string {
	if leaf == 0 {
		return ""
	}
	return s.names[leaf-1]
}
