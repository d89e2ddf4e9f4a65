package iptables_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/kernel"
	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/packet"
)

// states maps the kernel judge's states to conntrack's.
var states = map[kernel.State]packet.Class{
	kernel.StateNew:              {State: packet.New},
	kernel.StateEstablished:      {State: packet.Established},
	kernel.StateEstablishedReply: {State: packet.Established, Reply: true},
	kernel.StateInvalid:          {State: packet.Invalid},
}

// toKernel converts a packet of the oracle to one that the kernel judge can send: it
// comes in on one side of the host, in a state that can be set up.
func toKernel(r *rand.Rand, family int, p oracle.Packet) (kernel.Packet, packet.Packet, bool) {
	k := kernel.Packet{Family: family, Protocol: p.Protocol, Src: p.Src, Dst: p.Dst, Sport: p.Sport, Dport: p.Dport,
		TCPFlags: byte(p.TCPFlags), ICMPType: byte(p.ICMPType), ICMPCode: byte(p.ICMPCode), Mark: p.Mark, FromServer: r.IntN(3) == 0}
	switch {
	case p.State == "INVALID":
		k.State = kernel.StateInvalid
	case p.State == "ESTABLISHED" && p.Reply:
		k.State = kernel.StateEstablishedReply
	case p.State == "ESTABLISHED":
		k.State = kernel.StateEstablished
	}
	if p.DNAT && k.State != kernel.StateInvalid && !k.FromServer {
		k.OrigDst, k.OrigDport = p.OrigDst, p.OrigDport
	}
	if p.Protocol != 6 {
		k.TCPFlags = 0
	}
	class, ok := states[k.State]
	// What conntrack considers new in sctp and dccp depends on chunks and types.
	ok = ok && p.Protocol != 132 && p.Protocol != 33
	if !ok || k.Check() != nil || !kernel.Forwarded(p.Src) || !kernel.Forwarded(p.Dst) {
		return k, packet.Packet{}, false
	}
	s := packet.Packet{Hook: packet.Forward, In: kernel.Outside, Out: kernel.Inside, Protocol: packet.Protocol(p.Protocol), State: class.State, Reply: class.Reply,
		Source: p.Src, Dest: p.Dst, Sport: p.Sport, Dport: p.Dport, TCPFlags: int(k.TCPFlags) & 63, ICMPType: p.ICMPType*256 + p.ICMPCode, Mark: p.Mark,
		OrigDst: p.Dst, OrigPort: originalPort(p)}
	if k.FromServer {
		s.In, s.Out = s.Out, s.In
	}
	if class.Reply { // the connection was opened to the address that replies
		s.OrigDst, s.OrigPort = p.Src, 0
		if hasPorts(p.Protocol) {
			s.OrigPort = p.Sport
		}
	}
	if k.DNAT() {
		s.DNAT, s.OrigDst = true, k.OrigDst
		if k.OrigDport != 0 && hasPorts(p.Protocol) {
			s.OrigPort = k.OrigDport
		}
	}
	// The reply to an ICMP request has a type of its own in conntrack.
	return k, s, !class.Reply || p.Protocol != 1 && p.Protocol != 58
}

// originalPort returns conntrack's key for the destination of a packet of its own
// connection.
func originalPort(p oracle.Packet) int {
	switch {
	case hasPorts(p.Protocol):
		return p.Dport
	case p.Protocol == 1 || p.Protocol == 58:
		return p.ICMPType*256 + p.ICMPCode
	}
	return 0
}

func hasPorts(protocol int) bool {
	switch protocol {
	case 6, 17, 33, 132, 136:
		return true
	}
	return false
}

// A kernel with a random foreign file loaded treats real packets as Seawall says.
func TestKernel(t *testing.T) {
	if err := kernel.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, backend := range []string{"nft", "legacy"} {
		t.Run(backend, func(t *testing.T) {
			h, err := kernel.New(backend)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}()
			var n tally
			for seed := uint64(0); n.files < times(80, 2000); seed++ {
				askKernel(t, h, seed, &n)
			}
			t.Logf("%d files, %d packets: the kernel did what Seawall said; %d more undecided", n.files, n.packets, n.undecided)
		})
	}
}

func askKernel(t *testing.T, h *kernel.Host, seed uint64, n *tally) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 23))
	family := 4 + 2*int(seed%2)
	file := oracle.Random(r, oracle.Options{Family: family, Known: true, Loadable: true})
	if file.Sections > 1 {
		return
	}
	q, err := read(packet.Family(family), file.Text, file.Sets, kernel.Outside, kernel.Inside)
	if err != nil {
		t.Errorf("seed %d: %v\n%s", seed, err, file.Text)
		return
	}
	if h.Load(family, file.Text, file.Sets) != nil {
		return // only the kernel refuses it
	}
	var sent []kernel.Packet
	var packets []packet.Packet
	for tries := 0; len(sent) < 20 && tries < 400; tries++ {
		if k, p, ok := toKernel(r, family, oracle.RandomPacket(r, file)); ok {
			sent, packets = append(sent, k), append(packets, p)
		}
	}
	ours, err := q.verdicts(packet.Forward, packets)
	if err != nil {
		t.Error(err)
		return
	}
	outcomes, err := h.Send(sent)
	if err != nil {
		t.Fatal(err)
	}
	n.files++
	for i, o := range outcomes {
		if !ours[i].Known() {
			n.undecided++
			continue
		}
		n.packets++
		if !agrees(ours[i], o.Verdict) && sent[i].DNAT() {
			// Two packets of a batch may want the same tuple after DNAT, and the kernel
			// then changes the port of the second. Sent alone, it keeps its port.
			again, err := h.Send(sent[i : i+1])
			if err != nil {
				t.Fatal(err)
			}
			o = again[0]
		}
		if !agrees(ours[i], o.Verdict) {
			t.Errorf("seed %d: Seawall says %v, the kernel did %s, for %+v\n%s\n%s", seed, ours[i], o.Verdict, sent[i], file.Text, file.Sets)
		}
	}
}

// agrees reports whether a packet's outcome matches the verdict.
func agrees(v packet.Verdict, outcome string) bool {
	switch v {
	case packet.Accept:
		return outcome == kernel.Accept
	case packet.Deny:
		return outcome == kernel.Drop
	}
	// The kernel never answers an error with an error.
	return outcome != kernel.Accept && (outcome == kernel.Drop || said([]string{outcome}) == v)
}
