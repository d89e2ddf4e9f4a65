// Package exposure tells who can reach each published port of a host as its
// chains stand: over DNAT and the whole of FORWARD, and over docker-proxy and
// the whole of INPUT. Tables in, a report out.
package exposure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Port is one published port, and who reaches it.
type Port struct {
	Protocol  string
	Port      int
	Address   string // the host address, or "" for every one
	Container string // address and port, "" when docker-proxy alone serves it
	Bridge    string
	Ways      []Way
}

// Way is one way in: from an interface, in one family.
type Way struct {
	Interface string
	Family    packet.Family
	Address   string // the host addresses that it is about, "" for all that no other way names
	Proxy     bool   // to docker-proxy over INPUT, not to the container over FORWARD
	Sources   []string
	AllBut    bool // Sources are those that do not get in
	Undecided bool // a match that Seawall does not know decides about some of them
}

// Everybody reports whether every source of the family gets in.
func (w Way) Everybody() bool { return w.AllBut && len(w.Sources) == 0 && !w.Undecided }

// Nobody reports whether none does.
func (w Way) Nobody() bool { return !w.AllBut && len(w.Sources) == 0 && !w.Undecided }

// Of works out who reaches what, from each of the interfaces. Families are the
// tables of IPv4 and IPv6, as far as they are known.
//
// Docker's userland proxy listens on a published port of every host address in
// both families. Where the port is not rewritten before (no DNAT in that family)
// a client gets in there, past FORWARD (NETFILTER.md section 2).
//
// The error is for tables that iptables itself would refuse, a *prove.HardError, or
// the context's.
func Of(ctx context.Context, families []docker.Tables, interfaces []string, limits prove.Limits) ([]*Port, error) {
	r := &reader{ctx: ctx, limits: limits, interfaces: interfaces}
	layouts := map[packet.Family]*docker.Layout{}
	for _, t := range families {
		layouts[t.Family] = docker.Look(t)
	}
	for _, l := range layouts {
		for _, p := range l.Published {
			if p.Port > 0 {
				r.port(p)
			}
		}
	}
	for _, x := range r.ports {
		for _, family := range []packet.Family{packet.IPv4, packet.IPv6} {
			if l := layouts[family]; l != nil {
				if err := r.ways(x, l); err != nil {
					return nil, err
				}
			}
		}
	}
	sort.SliceStable(r.ports, func(i, j int) bool {
		a, b := r.ports[i], r.ports[j]
		return a.Port.Port < b.Port.Port || a.Port.Port == b.Port.Port && a.Port.Protocol+a.Port.Address < b.Port.Protocol+b.Port.Address
	})
	var list []*Port
	for _, x := range r.ports {
		list = append(list, &x.Port)
	}
	return list, nil
}

type reader struct {
	ctx        context.Context // of the one question that the reader answers
	limits     prove.Limits
	interfaces []string
	ports      []*found
}

// found is a published port, with the rules that say it in each family.
type found struct {
	Port
	by []*docker.Published
}

func (r *reader) port(p *docker.Published) {
	address := ""
	if p.Address.IsValid() && !p.Address.IsUnspecified() {
		address = p.Address.String()
	}
	for _, x := range r.ports {
		if x.Port.Port == p.Port && x.Protocol == p.Protocol && x.Address == address {
			x.by = append(x.by, p)
			return
		}
	}
	r.ports = append(r.ports, &found{Port{Protocol: p.Protocol, Port: p.Port, Address: address, Container: p.To.String(), Bridge: p.Bridge}, []*docker.Published{p}})
}

// ways adds the ways in of one family.
func (r *reader) ways(x *found, l *docker.Layout) error {
	family := l.Tables.Family
	if a, err := netip.ParseAddr(x.Address); err == nil && a.Is4() != (family == packet.IPv4) {
		return nil
	}
	var direct *docker.Published
	proxied := false
	for _, p := range x.by {
		if p.To.Addr().Is4() == (family == packet.IPv4) && slices.Contains(l.Published, p) {
			direct = p
		}
		proxied = proxied || p.Proxied
	}
	if direct == nil && !proxied {
		return nil
	}
	for _, in := range r.interfaces {
		elsewhere, err := r.way(x, l, direct, in, x.hostAddress(family))
		if err != nil {
			return err
		}
		x.Ways = append(x.Ways, elsewhere)
		if x.Address != "" {
			continue
		}
		// A rule may speak of one of the host's addresses alone.
		for _, a := range namedAddresses(l.Tables.Filter, family) {
			way, err := r.way(x, l, direct, in, a.Addr())
			if err != nil {
				return err
			}
			if way.Who() != elsewhere.Who() {
				way.Address = a.String()
				if a.IsSingleIP() {
					way.Address = a.Addr().String()
				}
				x.Ways = append(x.Ways, way)
			}
		}
	}
	return nil
}

// way works out one way in, to one address of the host.
func (r *reader) way(x *found, l *docker.Layout, direct *docker.Published, in string, to netip.Addr) (Way, error) {
	way := Way{Interface: in, Family: l.Tables.Family, Proxy: direct == nil}
	p := packet.Packet{In: in, Protocol: protocolOf(x.Protocol), State: packet.New, TCPFlags: packet.SYN, Sport: 40000, OrigPort: x.Port.Port, OrigDst: to, Source: to}
	if direct != nil {
		p.Hook, p.Out, p.DNAT = packet.Forward, direct.Bridge, true
		p.Dest, p.Dport = direct.To.Addr(), int(direct.To.Port())
	} else {
		p.Hook, p.Dest, p.Dport = packet.Input, to, p.OrigPort
	}
	parts, err := prove.Through(r.ctx, l.Tables.Filter, p, l.Tables.Family, r.limits)
	if err != nil {
		return way, err
	}
	way.fill(parts)
	return way, nil
}

// namedAddresses are the original addresses that rules ask for.
func namedAddresses(t *iptables.Table, f packet.Family) []netip.Prefix {
	var list []netip.Prefix
	if t == nil {
		return nil
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			for _, m := range r.Matches {
				for _, o := range m.Options {
					if o.Name != "--ctorigdst" || len(o.Values) != 1 {
						continue
					}
					p, err := netip.ParsePrefix(o.Values[0])
					if a, notPrefix := netip.ParseAddr(o.Values[0]); notPrefix == nil {
						p, err = netip.PrefixFrom(a, a.BitLen()), nil
					}
					if err == nil && p.Addr().Is4() == (f == packet.IPv4) && !slices.Contains(list, p) {
						list = append(list, p)
					}
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return list
}

// hostAddress is one to which the port is published.
func (x *found) hostAddress(f packet.Family) netip.Addr {
	if a, err := netip.ParseAddr(x.Address); err == nil {
		return a
	}
	if f == packet.IPv6 {
		return netip.MustParseAddr("2001:db8::2")
	}
	return netip.MustParseAddr("198.51.100.2")
}

func protocolOf(name string) packet.Protocol {
	p, _ := packet.ParseProtocol(name)
	return p
}

// fill sets who gets in, in the shorter of two forms.
func (w *Way) fill(parts []prove.ReachPart) {
	var in, out []string
	for _, p := range parts {
		switch {
		case p.Verdict.IsOpen():
			in = append(in, p.CIDRs...)
		case p.Verdict.IsClosed():
			out = append(out, p.CIDRs...)
		default:
			w.Undecided = true
			in = append(in, p.CIDRs...)
		}
	}
	w.Sources = in
	if len(in) > 0 && len(out) < len(in) || len(out) == 0 {
		w.Sources, w.AllBut = out, true
	}
}

// Who says in words who gets in.
func (w Way) Who() string {
	text := ""
	switch {
	case w.Nobody():
		return "nobody"
	case w.AllBut && len(w.Sources) == 0:
		text = "everybody"
	default:
		text = packet.Shorten(w.Sources)
		if w.AllBut {
			text = "everybody but " + text
		}
	}
	if w.Undecided {
		text += " (at most: a match that Seawall does not know decides)"
	}
	return text
}

// Name is the port as Docker writes it.
func (p *Port) Name() string {
	text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	if p.Address != "" {
		text = netip.AddrPortFrom(netip.MustParseAddr(p.Address), uint16(p.Port)).String() + "/" + p.Protocol
	}
	return text
}
