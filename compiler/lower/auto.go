package lower

import (
	"fmt"

	"github.com/seawall/seawall/schema"
)

// choose picks the layout for both families of a document, Flat while no packet
// meets many rules one by one, and says why in a line that does not change with
// every rule that comes or goes.
func choose(families ...*lowering) (Layout, string) {
	most := families[0].opt.Sizes.Flat
	for _, l := range families {
		if l.flatCost(most) > most {
			return Indexed, fmt.Sprintf("indexed, because in one list a packet could meet more than %d rules", most)
		}
	}
	return Flat, fmt.Sprintf("flat, because no packet meets more than %d rules", most)
}

// flatCost is how many rules of the guard, the forward blocks and the policies
// stand one after the other in the flat layout. It stops counting soon after
// enough: a list of a million sources is not written out to see that it is long.
func (l *lowering) flatCost(enough int) int {
	total := 0
	for _, f := range l.doc.Forwards {
		total += len(f.From) * len(f.To) * (1 + len(l.resolve.Sources(f.Sources))*len(l.resolve.Sources(f.Destinations)))
	}
	count := func(written []*schema.Rule, last label, boxes int) {
		if boxes == 0 || total > enough {
			return
		}
		clauses := l.clauses(written)
		for _, c := range clauses {
			if n := len(c.include); n > enough {
				total += n * boxes
				return
			}
		}
		total += len(sourceList(l.resolve, clauses, last, nil)) * boxes
	}
	if g := l.doc.Guard; g != nil {
		count(g.Rules, label{next: true}, len(l.outside))
	}
	for _, p := range l.policies {
		count(p.Rules, label{verdict: p.Default}, len(l.scope(p)))
	}
	return total
}
