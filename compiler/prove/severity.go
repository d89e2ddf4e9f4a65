package prove

import (
	"cmp"
	"math/big"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// Kind is how bad it is that some packets have another verdict than they should, the
// worst first.
type Kind int

// The kinds. What conntrack takes for a part of no connection, or for an error about
// one, is the least of them whatever becomes of it: it opens nothing.
const (
	OpensNew   Kind = iota // new connections get through that should not
	OpensOld               // packets of other connections do
	Unsure                 // what becomes of the packets cannot be decided
	ClosesNew              // new connections do not get through that should
	ClosesOld              // packets of other connections do not
	AnotherNew             // new connections are let through, or denied, in another way
	AnotherOld             // packets of other connections are
	Oddity                 // packets that are INVALID, UNTRACKED or RELATED
)

// Severity measures packets whose verdict is not what it should be.
type Severity struct {
	Kind  Kind
	Share float64 // of the family's addresses that send them
	Ports float64 // of the ports of tcp and udp that they are sent to; tcp weighs more
}

// Compare orders severities, the worst first.
func (s Severity) Compare(t Severity) int {
	return cmp.Or(cmp.Compare(s.Kind, t.Kind), -cmp.Compare(s.Share, t.Share), -cmp.Compare(s.Ports, t.Ports))
}

// severityOf measures a box whose packets should be treated in one way, and are in
// another.
func severityOf(s *packet.Space, b *diagram.Box, should, is packet.Verdict) Severity {
	protocols := 0.0
	for p, weight := range map[packet.Protocol]float64{packet.TCP: 0.6, packet.UDP: 0.4} {
		if b[packet.Proto].Has(diagram.Small(int(p))) {
			protocols += weight
		}
	}
	return Severity{kindOf(b[packet.Conntrack], should, is), share(b, s, packet.Source), protocols * share(b, s, packet.OrigPort)}
}

func share(b *diagram.Box, s *packet.Space, property int) float64 {
	if b[property] == nil {
		return 1
	}
	most := s.Max(property)
	part, _ := new(big.Rat).SetFrac(b[property].Size(most), diagram.Set(nil).Size(most)).Float64()
	return part
}

func kindOf(classes diagram.Set, should, is packet.Verdict) Kind {
	fresh := hasState(classes, packet.New)
	if !fresh && !hasState(classes, packet.Established) {
		return Oddity
	}
	decided := func(v packet.Verdict) bool { return v.IsOpen() || v.IsClosed() }
	kind := AnotherNew
	switch effect := effectOf(should, is); {
	case effect == Opened:
		kind = OpensNew
	case effect == Closed:
		kind = ClosesNew
	case !decided(should) || !decided(is):
		return Unsure
	}
	if !fresh {
		kind++
	}
	return kind
}

func hasState(classes diagram.Set, state packet.State) bool {
	for _, c := range packet.Classes {
		if c.State == state && classes.Has(c.Value()) {
			return true
		}
	}
	return false
}
