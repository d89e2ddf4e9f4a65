package prove

import (
	"fmt"
	"math/big"

	"github.com/seawall/seawall/schema"
	"go4.org/netipx"
)

// padded writes a number so that texts sort as their numbers do.
func padded(n int64) string { return fmt.Sprintf("%020d", n) }

// addressCount is how many host addresses of both families a policy names, in
// a form that sorts. Both families count: of two policies that are the same in
// one, the other family says which is the narrower.
func addressCount(p *schema.Policy) string {
	total := new(big.Int)
	if len(p.Address) == 0 {
		total.Lsh(big.NewInt(1), 130)
	}
	var four, six []span
	for _, a := range p.Address {
		g := netipx.RangeOfPrefix(a)
		s := span{ofAddr(g.From()), ofAddr(g.To())}
		if a.Addr().Is4() {
			four = append(four, s)
		} else {
			six = append(six, s)
		}
	}
	total.Add(total, normal(four).size(value{}))
	total.Add(total, normal(six).size(value{}))
	return fmt.Sprintf("%050s", total)
}
