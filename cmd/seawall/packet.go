package main

import (
	"github.com/seawall/seawall/compiler/explain"
	"github.com/spf13/cobra"
)

// packetText is a packet as flags.
type packetText struct{ explain.Question }

func (p *packetText) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.From, "from", "", "the source `ADDRESS`")
	f.StringVar(&p.To, "to", "", "the original destination, `[ADDRESS:]PORT[/PROTOCOL]`, as the client sees it")
	f.StringVar(&p.In, "in", "", "the interface on which it comes in (default the host's first external)")
	f.StringVar(&p.Out, "out", "", "the interface on which it goes out (default docker0, or the host's first bridge)")
	f.StringVar(&p.Chain, "chain", "forward", "forward, or input for packets to the host itself")
	f.StringVar(&p.State, "state", "new", "conntrack's state: new, established, related, invalid or untracked")
	f.StringVar(&p.Direction, "direction", "original", "original, or reply for an answer")
	f.StringVar(&p.Protocol, "protocol", "", "a protocol without ports: icmp, ipv6-icmp or a number")
	f.StringVar(&p.Destination, "destination", "", "the destination after DNAT, `ADDRESS[:PORT]`")
	f.IntVar(&p.SourcePort, "source-port", 40000, "the source port")
	f.StringVar(&p.TCPFlags, "tcp-flags", "", "the TCP `FLAGS` that are set, such as SYN,ACK, or NONE (default SYN for a new connection, otherwise ACK)")
	f.StringVar(&p.ICMPType, "icmp-type", "", "the `TYPE[/CODE]` of an ICMP packet (default an echo request)")
	f.StringVar(&p.Mark, "mark", "0", "the packet's mark")
	f.StringArrayVar(&p.IPSets, "in-ipset", nil, "the source is in this ipset `NAME`, which others fill; may be repeated (default in none)")
	f.BoolVar(&p.SNAT, "snat", false, "the connection's source was rewritten")
	f.BoolVar(&p.DNAT, "dnat", false, "the connection's destination was rewritten")
	choices(c, "chain", "forward", "input")
	choices(c, "state", "new", "established", "related", "invalid", "untracked")
	choices(c, "direction", "original", "reply")
}
