package netfilter

import (
	"net/netip"
	"slices"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// acts reports whether a rule affects packets: without a target, or with one such as LOG, it does
// not.
func (w *walk) acts(r *iptables.Rule) bool {
	if r.Unread != "" || w.hook.table.Leads(r) != nil {
		return true
	}
	u := r.Target.Use()
	if u == nil {
		return r.Target.Name != ""
	}
	e := u.Effect()
	return e.Verdict != 0 || slices.Contains(e.Changes, match.MarkThing)
}

// target applies a rule's target to the packets that match it: those that continue to the next
// rule are added to next, those that return to the chain's caller to back.
func (w *walk) target(at Place, hit flows, next, back *flows) {
	r := at.Rule
	if c := w.hook.table.Leads(r); c != nil && r.Unread == "" {
		to := next
		if r.Goes() {
			to = back
		}
		for _, x := range w.chain(c, hit) {
			to.add(x)
		}
		return
	}
	for _, x := range hit {
		switch {
		case r.Unread != "" || r.Goes():
			w.unknown(at, x, next)
		case r.Target.Name == "RETURN":
			back.add(x)
		case r.Target.Name == "ACCEPT":
			w.passed.add(x)
		case r.Target.Name == "DROP":
			w.end(x, packet.Deny, at)
		default:
			w.extension(at, x, next)
		}
	}
}

// extension applies a target that is a module.
func (w *walk) extension(at Place, x flow, next *flows) {
	u := at.Rule.Target.Use()
	if u == nil {
		w.unknown(at, x, next)
		return
	}
	switch u.Name {
	case "DNAT", "REDIRECT":
		w.rewrite(at, u, x, next)
		return
	case "NOTRACK", "CT":
		if u.Name == "NOTRACK" || u.Option("--notrack") != nil {
			x.packet.State = packet.Untracked
			x.packet.OrigDst, x.packet.OrigPort = netip.Addr{}, 0
		}
		next.add(x)
		return
	case "MARK":
		if mark, ok := u.Mark(x.packet.Mark); ok && x.noMark.Rule == nil {
			x.packet.Mark = mark
			next.add(x)
			return
		}
	}
	switch e := u.Effect(); {
	case e.Verdict == packet.Unknown:
		w.unknown(at, x, next)
	case e.Verdict != 0:
		w.end(x, e.Verdict, at)
	default: // it changes the mark
		x.noMark = at
		next.add(x)
	}
}

// unknown handles a target that cannot be evaluated: the packet may end there or continue.
func (w *walk) unknown(at Place, x flow, next *flows) {
	at.Words = "-j " + at.Rule.Target.Name
	if at.Rule.Unread != "" {
		at.Words = at.Rule.Unread
	}
	x.doubt = at
	w.end(x, packet.Unknown, at)
	x.noMark = at
	next.add(x)
}

// most is the number of destinations of a range that are tried; beyond that, the result is
// unknown.
const most = 256

// rewrite is DNAT or REDIRECT: it ends the chain for the packet. The kernel chooses the address
// and port from the range.
func (w *walk) rewrite(at Place, u *match.Use, x flow, next *flows) {
	d, ok := u.Destination(w.host.Family)
	if !ok {
		w.unknown(at, x, next)
		return
	}
	addresses, ok := addressesOf(d, x.packet.Dest)
	ports, okPorts := portsOf(d, x.packet.Dport)
	if !ok || !okPorts || len(addresses)*len(ports) > most {
		w.unknown(at, x, next)
		return
	}
	if len(addresses)*len(ports) > 1 {
		x.doubt = at
		x.doubt.Words = u.String()
	}
	for _, a := range addresses {
		for _, port := range ports {
			y := x
			y.redirected = d.Host
			y.local = d.Host || x.local && a == x.packet.Dest
			y.packet.Dest, y.packet.Dport, y.packet.DNAT, y.rewrittenBy = a, port, true, at
			w.passed.add(y)
		}
	}
}

// addressesOf are the addresses that a packet may be sent to. The address that REDIRECT uses is
// not known (state.redirected), and the packet's destination stays.
func addressesOf(d match.Destination, now netip.Addr) ([]netip.Addr, bool) {
	if !d.Addresses[0].IsValid() {
		return []netip.Addr{now}, true
	}
	var list []netip.Addr
	for a := d.Addresses[0]; a.IsValid() && len(list) <= most; a = a.Next() {
		list = append(list, a)
		if a == d.Addresses[1] {
			return list, true
		}
	}
	return nil, false
}

// portsOf are the ports that a packet may be sent to: a port within the range stays the same
// (net/netfilter/nf_nat_core.c, get_unique_tuple).
func portsOf(d match.Destination, now int) ([]int, bool) {
	first, last := d.Ports[0], d.Ports[1]
	switch {
	case last == 0 || now >= first && now <= last && !d.Shifted:
		return []int{now}, true
	case last-first >= most || last < first:
		return nil, false
	}
	var list []int
	for p := first; p <= last; p++ {
		list = append(list, p)
	}
	return list, true
}
