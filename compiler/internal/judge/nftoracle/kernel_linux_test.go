package nftoracle

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/internal/judge/kernel"
)

// newHost makes a host that the test closes.
func newHost(t *testing.T) *kernel.Host {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("the kernel cannot be asked here: %v", err)
	}
	h, err := kernel.New("nft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// tally counts what the kernel did.
type tally struct {
	sync.Mutex
	files, packets, open int
	hits                 map[string]int
}

func (c *tally) note(want []string, got string) {
	c.Lock()
	defer c.Unlock()
	c.packets++
	c.hits[got]++
	if len(want) > 1 {
		c.open++
	}
}

// TestKernelAgrees compares what the kernel does to packets with the evaluator,
// over random rulesets: for 20 seconds at most, unless NFTORACLE_FILES says how
// many.
func TestKernelAgrees(t *testing.T) {
	needNft(t)
	files := count(t, 300)
	deadline := time.Now().Add(20 * time.Second)
	c := &tally{hits: map[string]int{}}
	t.Run("shards", func(t *testing.T) {
		for shard := range 2 {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				for i := shard; i < files; i += 2 {
					if os.Getenv("NFTORACLE_FILES") == "" && time.Now().After(deadline) {
						break
					}
					agrees(t, h, i, c)
				}
			})
		}
	})
	t.Logf("%d rulesets, %d packets, %d of them with several possible verdicts: %v", c.files, c.packets, c.open, c.hits)
	if c.files < 10 {
		t.Errorf("only %d rulesets were compared", c.files)
	}
}

// seed returns NFTORACLE_SEED, for other rulesets than the usual ones.
func seed() uint64 {
	n, err := strconv.ParseUint(os.Getenv("NFTORACLE_SEED"), 10, 64)
	if err != nil {
		return 12
	}
	return n
}

// agrees compares one random ruleset.
func agrees(t *testing.T, h *kernel.Host, i int, c *tally) {
	r := rand.New(rand.NewPCG(uint64(i), seed()))
	f := Random(r, Options{Forward: true, Unknown: i%10 == 9})
	var sent []kernel.Packet
	for tries := 0; len(sent) < 30 && tries < 2000; tries++ {
		if k := sendable(r, RandomPacket(r, f)); k.Check() == nil {
			sent = append(sent, k)
		}
	}
	differ, err := disagreements(h, f.Text, sent, c.note)
	if err != nil || differ != "" {
		t.Errorf("ruleset %d: %v%s\n%s", i, err, differ, f.Text)
	}
	c.Lock()
	defer c.Unlock()
	c.files++
}

// disagreements loads a text, sends packets, and describes those that the
// kernel treats otherwise than the evaluator says.
func disagreements(h *kernel.Host, text string, packets []kernel.Packet, note func(want []string, got string)) (string, error) {
	if err := h.LoadNft(text); err != nil {
		return "", err
	}
	listing, err := h.ListNft("")
	if err != nil {
		return "", err
	}
	set, err := Parse([]byte(listing))
	if err != nil {
		return "", err
	}
	outcomes, err := h.Send(packets)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, k := range packets {
		want, got := seen(set.Verdicts("forward", packetOf(k)), k), outcomes[i].Verdict
		if note != nil {
			note(want, got)
		}
		if !slices.Contains(want, got) {
			fmt.Fprintf(&b, "%s, want %q of %+v (to the evaluator %+v)\n", got, want, k, packetOf(k))
		}
	}
	return b.String(), nil
}

// seen returns verdicts as the sender sees them: what is not answered looks like
// what is dropped.
func seen(verdicts []string, k kernel.Packet) []string {
	var result []string
	for _, v := range verdicts {
		if with, ok := strings.CutPrefix(v, "reject "); ok && !k.Answered(with) {
			v = "drop"
		}
		result = append(result, v)
	}
	slices.Sort(result)
	return slices.Compact(result)
}

// sendable makes of a packet one that the kernel can be asked about.
func sendable(r *rand.Rand, p Packet) kernel.Packet {
	k := kernel.Packet{
		Family: p.family(), Protocol: p.Protocol, Src: p.Src, Dst: p.Dst, Sport: p.Sport, Dport: p.Dport,
		TCPFlags: byte(p.TCPFlags), ICMPType: byte(p.ICMPType), ICMPCode: byte(p.ICMPCode),
		Mark: p.Mark, FromServer: r.IntN(3) == 0,
	}
	states := map[string][2]kernel.State{
		"NEW": {kernel.StateNew, kernel.StateNew}, "ESTABLISHED": {kernel.StateEstablished, kernel.StateEstablishedReply},
		"RELATED": {kernel.StateRelated, kernel.StateRelatedReply}, "INVALID": {kernel.StateInvalid, kernel.StateInvalid},
		"UNTRACKED": {kernel.StateUntracked, kernel.StateUntracked},
	}
	k.State = states[p.State][map[bool]int{true: 1}[p.Reply]]
	if p.Known {
		k.ConnMark = p.ConnMark
		to := p.Dst
		if p.Reply {
			to = p.Src
		}
		if p.DNAT && p.OrigDst != to { // a translation to itself is none
			k.OrigDst, k.OrigDport = p.OrigDst, max(0, p.OrigDport)
		}
		if k.Protocol == protoDCCP {
			k.OrigDport = 0 // conntrack no longer keeps DCCP's ports, so translates none
		}
	}
	return k
}

// packetOf describes a packet of the harness as the evaluator wants it.
func packetOf(k kernel.Packet) Packet {
	p := Packet{
		In: kernel.Outside, Out: kernel.Inside, Protocol: k.Protocol, Src: k.Src, Dst: k.Dst, Sport: k.Sport, Dport: k.Dport,
		TCPFlags: int(k.TCPFlags), ICMPType: int(k.ICMPType), ICMPCode: int(k.ICMPCode), Mark: k.Mark,
		State: strings.Fields(k.State.String())[0], ConnMark: k.ConnMark, DNAT: k.DNAT(),
	}
	if k.FromServer {
		p.In, p.Out = p.Out, p.In
	}
	if p.State == "INVALID" || p.State == "UNTRACKED" {
		return p
	}
	p.Known, p.Reply = true, k.State == kernel.StateEstablishedReply || k.State == kernel.StateRelatedReply
	p.OrigSrc, p.OrigDst, p.OrigSport, p.OrigDport = p.Src, p.Dst, p.Sport, p.Dport
	if p.Reply {
		p.OrigSrc, p.OrigDst, p.OrigSport, p.OrigDport = p.Dst, p.Src, p.Dport, p.Sport
	}
	if p.DNAT {
		p.OrigDst = k.OrigDst
		if k.OrigDport != 0 {
			p.OrigDport = k.OrigDport
		}
	}
	if p.State == "RELATED" && (p.Protocol == protoICMP || p.Protocol == protoICMPv6) {
		p.CTProtocol = protoTCP
	}
	if p.CTProtocol == 0 && !p.ported() || p.Protocol == protoDCCP {
		p.OrigSport, p.OrigDport = Unknown, Unknown
	}
	return p
}
