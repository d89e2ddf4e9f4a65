package exposure

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"go4.org/netipx"
)

// Means is how a client gets in.
type Means int

// The means: DNAT and FORWARD; docker-proxy and INPUT; directly to the container's own address,
// on a routed or an unprotected network; DNAT by Swarm's ingress network; and a REDIRECT to
// another port of the host.
const (
	DNAT Means = iota
	Proxy
	Routed
	Unprotected
	Ingress
	Redirect
)

// Way is one way in: from an interface, in one family.
type Way struct {
	Interface string
	Family    packet.Family
	Address   string // the host addresses that it applies to, "" for all that no other way names
	Means     Means
	To        string // the target of DNAT or REDIRECT, if it is not the port's container
	Sources   []string
	AllBut    bool    // Sources are those that do not get in
	Undecided bool    // Sources are those that may get in: it depends on rules that cannot be evaluated
	Doubts    []Doubt // why
	// KeepsOut reports that this way keeps someone out, or may. A source that uses another way
	// does not count.
	KeepsOut bool
	// Phrase is who gets in, or may, as people write it.
	Phrase address.Phrase
	// Decided are the rules that decide, as far as the answer is a rule's.
	Decided []Decision
}

// Decision is what a rule does to packets from some sources.
type Decision struct {
	Rule    string // as iptables takes it: -t nat -A DOCKER …
	Verdict packet.Verdict
	Sources address.Phrase
}

// Does says in words what the rule does.
func (d Decision) Does() string {
	switch {
	case d.Verdict.IsOpen():
		return "sends on"
	case d.Verdict == packet.Deny:
		return "drops"
	}
	return "rejects"
}

// Doubt is something that could not be evaluated.
type Doubt struct {
	Table, Chain string
	Rule         string // "" if it is not a rule
	Why          string
}

func (d Doubt) String() string {
	if d.Rule == "" {
		return d.Why
	}
	if strings.Contains(d.Table, " ") { // of nft
		return d.Table + " " + d.Rule
	}
	return "-t " + d.Table + " " + d.Rule
}

// Everybody reports whether every source of the family gets in.
func (w Way) Everybody() bool { return w.AllBut && len(w.Sources) == 0 && !w.Undecided }

// Nobody reports whether no source gets in.
func (w Way) Nobody() bool { return !w.AllBut && len(w.Sources) == 0 && !w.Undecided }

// Open reports whether everybody who comes this way gets in.
func (w Way) Open() bool { return !w.KeepsOut && !w.Undecided && !w.Nobody() }

// Proxy reports whether it goes through docker-proxy and INPUT.
func (w Way) Proxy() bool { return w.Means == Proxy }

// Who describes who gets in.
func (w Way) Who() string {
	text := w.Phrase.Shorten(mostNames)
	if w.Undecided && !w.Nobody() {
		text = "at most " + text
	}
	return text
}

// mostNames is how many sources are named in a line of text.
const mostNames = 8

// By describes how a client gets in.
func (w Way) By() string {
	text := [...]string{"over DNAT", "over docker-proxy", "routed", "unprotected", "over swarm ingress", "over REDIRECT"}[w.Means]
	if w.To != "" {
		text += " to " + w.To
	}
	return text
}

// ways adds the ways into a port, by interface and family.
func (r *reader) ways(x *found) error {
	if x.Local && (len(r.host.RouteLocalnet) == 0 || x.address.Is6()) {
		return nil
	}
	for _, in := range r.host.Interfaces {
		for _, f := range r.families {
			if x.address.IsValid() && x.address.Is4() != (f.Family == packet.IPv4) {
				continue
			}
			if err := r.waysOf(x, f, in); err != nil {
				return err
			}
		}
	}
	if x.Local && slices.ContainsFunc(x.Ways, func(w Way) bool { return !w.Nobody() }) {
		x.Local = false // the kernel accepts such packets
	} else if x.Local {
		x.Ways = nil
	}
	return nil
}

// most is the number of host addresses that are examined individually.
const most = 64

func (r *reader) waysOf(x *found, f *family, in string) error {
	to, opened := x.in(f.Family)
	listening, _ := r.listens(x, f.Family)
	if !opened && !listening {
		return nil
	}
	if x.Opened == docker.Routed || x.Opened == docker.Unprotected {
		ways, err := r.to(x, f, in, to, false)
		x.Ways = append(x.Ways, ways...)
		return err
	}
	address := x.address
	if !address.IsValid() {
		address = f.anywhere()
	}
	port := uint16(x.Port.Port)
	ways, err := r.to(x, f, in, netip.AddrPortFrom(address, port), true)
	if err != nil || x.address.IsValid() {
		x.Ways = append(x.Ways, ways...)
		return err
	}
	elsewhere := whoOf(ways)
	x.Ways = append(x.Ways, ways...)
	// A rule may be about just one of the host's addresses.
	for _, a := range f.named[:min(len(f.named), most)] {
		ways, err := r.to(x, f, in, netip.AddrPortFrom(a.Addr(), port), true)
		if err != nil {
			return err
		}
		if slices.Equal(whoOf(ways), elsewhere) {
			continue
		}
		for i := range ways {
			ways[i].Address = a.String()
			if a.IsSingleIP() {
				ways[i].Address = a.Addr().String()
			}
		}
		x.Ways = append(x.Ways, ways...)
	}
	return nil
}

func whoOf(ways []Way) []string {
	var list []string
	for _, w := range ways {
		list = append(list, w.By()+": "+w.Who())
	}
	return list
}

// first is the first packet of a new connection.
func first(in, protocol string, to netip.AddrPort) packet.Packet {
	p := packet.Packet{In: in, Dest: to.Addr(), Dport: int(to.Port()), Sport: 40000}
	p.Protocol, _ = packet.ParseProtocol(protocol)
	if p.Protocol == packet.TCP {
		p.TCPFlags = packet.SYN
	}
	return p
}

// means maps how Docker opens a port to how it is reached if DNAT or a route leads to its
// container.
var means = map[docker.Opened]Means{docker.ByDNAT: DNAT, docker.Routed: Routed, docker.Unprotected: Unprotected, docker.Swarm: Ingress}

// to finds the ways to a port at one address, of the host or of a container: the usual one, and
// each other one on which somebody gets in.
func (r *reader) to(x *found, f *family, in string, to netip.AddrPort, local bool) ([]Way, error) {
	ends, err := f.follower.Follow(r.ctx, first(in, x.Protocol, to), local, r.limits)
	if err != nil {
		return nil, err
	}
	usual := Way{Means: Proxy}
	if _, opened := x.in(f.Family); opened {
		usual.Means = means[x.Opened]
	}
	ways := []Way{usual}
	for _, e := range ends {
		w, gets := r.shape(x, f, e)
		if gets && !slices.ContainsFunc(ways, w.sameShape) {
			ways = append(ways, w)
		}
	}
	for i := range ways {
		w := &ways[i]
		w.Interface, w.Family = in, f.Family
		r.fill(x, f, w, ends, i == 0)
	}
	return ways, nil
}

func (w Way) sameShape(v Way) bool { return w.Means == v.Means && w.To == v.To }

// shape is the way that an end of a packet belongs to, without its sources; false if the packet
// does not get in.
func (r *reader) shape(x *found, f *family, e netfilter.End) (Way, bool) {
	p := e.Packet
	to := netip.AddrPortFrom(p.Dest, uint16(p.Dport))
	switch {
	case e.Verdict != packet.Accept:
		return Way{}, false
	case p.Hook == packet.Input && p.DNAT:
		return Way{Means: Redirect, To: fmt.Sprintf("port %d on the host", p.Dport)}, true
	case p.Hook == packet.Input:
		listening, _ := r.listens(x, f.Family)
		return Way{Means: Proxy}, listening
	}
	w := Way{Means: means[x.Opened]}
	if p.DNAT && !slices.Contains(x.by, opening{f.Family, to}) {
		w.To = to.String()
	}
	return w, true
}

// fill sets who gets in on a way, in the shorter of two forms. An end that cannot be evaluated
// belongs to the usual way.
func (r *reader) fill(x *found, f *family, w *Way, ends netfilter.Ends, usual bool) {
	certain := func(e netfilter.End) bool {
		v, gets := r.shape(x, f, e)
		return gets && v.sameShape(*w)
	}
	in := ends.Sources(func(e netfilter.End) bool { return certain(e) || usual && e.Verdict == packet.Unknown })
	open := in.Intersect(ends.Sources(func(e netfilter.End) bool { return !certain(e) }))
	if len(open) > 0 {
		w.Undecided = true
		for _, p := range ends.Doubts(open) {
			w.Doubts = append(w.Doubts, Doubt{p.Table, p.Chain, p.Text(), p.Words})
		}
	}
	if len(in) > 0 {
		w.listener(r, x)
	}
	kept := ends.Sources(func(e netfilter.End) bool {
		_, gets := r.shape(x, f, e)
		return !gets
	})
	w.KeepsOut = len(kept) > 0 && (usual || len(kept.Intersect(in)) > 0)
	w.Phrase = phraseOf(in, f.Family)
	for _, e := range ends {
		switch {
		case certain(e):
			w.decided(e.Rewritten, packet.Accept, e.Sources, f.Family)
		case e.Verdict.IsClosed() && (usual || len(e.Sources.Intersect(in)) > 0):
			w.decided(e.By, e.Verdict, e.Sources, f.Family)
		}
	}
	s := packet.NewSpace(f.Family)
	w.Sources = s.CIDRs(in)
	if out := s.CIDRs(in.Complement(packet.MaxAddress(f.Family))); len(in) > 0 && len(out) < len(w.Sources) || len(out) == 0 {
		w.Sources, w.AllBut = out, true
	}
}

// decided adds a rule that decides about some sources; none is a chain's policy, or the
// kernel's own.
func (w *Way) decided(p netfilter.Place, v packet.Verdict, of diagram.Set, f packet.Family) {
	if p.Text() == "" || len(of) == 0 {
		return
	}
	d := Decision{p.String(), v, phraseOf(of, f)}
	if !slices.ContainsFunc(w.Decided, func(x Decision) bool {
		return x.Rule == d.Rule && x.Verdict == v && slices.EqualFunc(x.Sources, d.Sources, samePart)
	}) {
		w.Decided = append(w.Decided, d)
	}
}

func samePart(a, b address.Part) bool {
	return a.Base == b.Base && slices.Equal(a.Except, b.Except)
}

// phraseOf is a set of sources as people write it.
func phraseOf(s diagram.Set, f packet.Family) address.Phrase {
	set := make(address.Set, len(s))
	for i, x := range s {
		set[i] = netipx.IPRangeFrom(x.Lo.Addr(f == packet.IPv6), x.Hi.Addr(f == packet.IPv6))
	}
	return address.PhraseOf(set)
}

// sameWays reports whether two ports are treated alike, whatever rules do it.
func sameWays(a, b []Way) bool {
	return slices.EqualFunc(a, b, func(v, w Way) bool {
		v.Decided, w.Decided = nil, nil
		return reflect.DeepEqual(v, w)
	})
}

// listener records if it is not known whether anything listens on the host itself.
func (w *Way) listener(r *reader, x *found) {
	doubt := ""
	switch w.Means {
	case Proxy:
		_, doubt = r.listens(x, w.Family)
	case Redirect:
		if !r.proxied(w.To, x.Protocol, w.Family) {
			doubt = "it is not known what listens on " + w.To + ""
		}
	}
	if doubt != "" {
		w.Undecided = true
		w.Doubts = append(w.Doubts, Doubt{Why: doubt})
	}
}

// proxied reports whether docker-proxy listens on a port of the host, as named by a way.
func (r *reader) proxied(to, protocol string, f packet.Family) bool {
	return slices.ContainsFunc(r.ports, func(x *found) bool {
		if x.address.IsValid() || x.Protocol != protocol || to != fmt.Sprintf("port %d on the host", x.Port.Port) {
			return false
		}
		listening, doubt := r.listens(x, f)
		return listening && doubt == ""
	})
}

// direct notes which published ports can be reached without DNAT, by clients that route to a
// container's own address.
func (r *reader) direct() error {
	for _, in := range r.host.Interfaces {
		for _, f := range r.families {
			var list []string
			for _, x := range r.ports {
				to, opened := x.in(f.Family)
				if !opened || x.Opened != docker.ByDNAT || slices.Contains(list, to.String()) {
					continue
				}
				ends, err := f.follower.Follow(r.ctx, first(in, x.Protocol, to), false, r.limits)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(ends, func(e netfilter.End) bool { return e.Verdict == packet.Accept }) {
					list = append(list, to.String())
				}
			}
			if len(list) > 0 {
				r.note("clients that route to a container's own address through %s bypass DNAT: %s", in, packet.Shorten(list))
			}
		}
	}
	return nil
}
