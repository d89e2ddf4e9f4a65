package prove

import (
	"github.com/seawall/seawall/compiler/rules"
)

// Through is what a whole chain of the kernel says to each source of a packet:
// FORWARD or INPUT from the first rule to the chain's policy, other software's
// rules as well. Reach is about the policy's part of it, this about what really
// gets in. The packet's own source is not looked at. The error is for a table
// that iptables itself would refuse.
func Through(t *rules.Table, p Packet, family rules.Family) ([]ReachPart, error) {
	if t == nil {
		t = &rules.Table{Name: "filter"}
	}
	d := newDiagrams(newSpace(family, append(filePatterns(t), p.In, p.Out)))
	end := leaf(vAccept)
	f := end
	if c := t.Chain(string(p.Hook)); c != nil {
		if c.Policy == "DROP" {
			end = leaf(vDeny)
		}
		r := d.chainReader(t)
		r.hook, r.root = p.Hook, "" // no chain is the policy's: all count
		read, err := r.chain(c.Name, true)
		if err != nil {
			return nil, err
		}
		f = d.relabel(read, swap(vReturn, end.bits()))
	}
	return d.reach(f, p), nil
}
