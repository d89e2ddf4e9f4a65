package explain

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Question is a packet as the flags of the command name it. The messages about what is wrong
// with one name the flags. NewQuestion has the defaults.
type Question struct {
	From, To, In, Out, Chain, State, Direction, Protocol, Destination string

	TCPFlags, ICMPType, Mark string

	SourcePort int
	IPSets     []string // the sets that hold the source, of those that others fill
	SNAT, DNAT bool

	// Note is what Packet took for what the question does not say; "" for nothing.
	Note string

	doc *schema.Document
}

// NewQuestion is a new connection to a published port, of which only From and To are left to
// say.
func NewQuestion() *Question {
	return &Question{Chain: "forward", State: "new", Direction: "original", SourcePort: 40000, Mark: "0"}
}

// Flags writes a packet as the flags that say it, each value as a word of a shell.
func Flags(p packet.Packet, word func(string) string) string {
	text := fmt.Sprintf("--from %s --to %s", p.Source, word(endpointText(p)))
	if p.Protocol != packet.TCP && p.Protocol != packet.UDP && p.Protocol != packet.SCTP {
		text += " --protocol " + p.Protocol.Number()
	}
	text += " --in " + word(p.In)
	if p.Hook == packet.Input {
		text += " --chain input"
	} else {
		text += " --out " + word(p.Out)
	}
	if p.State != packet.New {
		text += " --state " + strings.ToLower(string(p.State))
	}
	if p.Reply {
		text += " --direction reply"
	}
	text += fmt.Sprintf(" --destination %s --source-port %d", word(netip.AddrPortFrom(p.Dest, uint16(p.Dport)).String()), p.Sport)
	if p.Protocol == packet.TCP && p.TCPFlags != packet.UsualFlags(p.State) {
		text += " --tcp-flags " + flagWords(p.TCPFlags)
	}
	if usual := usualICMP(p.Protocol); usual != 0 && p.ICMPType != usual {
		text += fmt.Sprintf(" --icmp-type %d/%d", p.ICMPType>>8, p.ICMPType&255)
	}
	if p.Mark != 0 {
		text += fmt.Sprintf(" --mark %#x", p.Mark)
	}
	for _, name := range p.Members.Holding() {
		text += " --in-ipset " + word(name)
	}
	if p.SNAT {
		text += " --snat"
	}
	if p.DNAT {
		text += " --dnat"
	}
	return text
}

func endpointText(p packet.Packet) string {
	text := netip.AddrPortFrom(p.OrigDst, uint16(p.OrigPort)).String()
	switch p.Protocol {
	case packet.UDP, packet.SCTP:
		text += "/" + p.Protocol.String()
	}
	return text
}

// flagNames are the TCP flags that iptables knows, by bit.
var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

func flagWords(flags int) string {
	var list []string
	for i, name := range flagNames {
		if flags&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	if list == nil {
		return "NONE"
	}
	return strings.Join(list, ",")
}

// usualICMP is the type and code of an echo request; 0 for another protocol.
func usualICMP(p packet.Protocol) int {
	switch p {
	case packet.ICMP:
		return 8 << 8
	case packet.ICMPv6:
		return 128 << 8
	}
	return 0
}

// details reads --tcp-flags, --icmp-type and --mark.
func (q *Question) details(out *packet.Packet) error {
	if out.Protocol == packet.TCP {
		out.TCPFlags = packet.UsualFlags(out.State)
	}
	out.ICMPType = usualICMP(out.Protocol)
	switch {
	case q.SourcePort < 0 || q.SourcePort > 65535:
		return fmt.Errorf("--source-port takes a port from 0 to 65535, not %d", q.SourcePort)
	case q.TCPFlags != "" && out.Protocol != packet.TCP:
		return fmt.Errorf("--tcp-flags is for TCP; the packet is %v", out.Protocol)
	case q.ICMPType != "" && out.ICMPType == 0:
		return fmt.Errorf("--icmp-type is for icmp and ipv6-icmp; the packet is %v", out.Protocol)
	}
	if q.TCPFlags != "" {
		out.TCPFlags = 0
		for _, word := range strings.Split(strings.ToUpper(q.TCPFlags), ",") {
			i := slices.Index(flagNames, word)
			if i < 0 && word != "NONE" {
				return fmt.Errorf("--tcp-flags takes a list of %s, or NONE, not %q", strings.Join(flagNames, ", "), word)
			}
			if i >= 0 {
				out.TCPFlags |= 1 << i
			}
		}
	}
	if q.ICMPType != "" {
		kind, code, _ := strings.Cut(q.ICMPType, "/")
		n, err := strconv.ParseUint(kind, 10, 8)
		m, codeErr := strconv.ParseUint(orZero(code), 10, 8)
		if err != nil || codeErr != nil {
			return fmt.Errorf("--icmp-type takes TYPE or TYPE/CODE, numbers up to 255, not %q", q.ICMPType)
		}
		out.ICMPType = int(n)<<8 | int(m)
	}
	mark, err := strconv.ParseUint(q.Mark, 0, 32)
	if err != nil {
		return fmt.Errorf("--mark takes a number of 32 bits, such as 0x1, not %q", q.Mark)
	}
	out.Mark = uint32(mark)
	return nil
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}

// Packet makes the packet that the question is about.
func (q *Question) Packet(doc *schema.Document) (packet.Packet, error) {
	var out packet.Packet
	from, err := netip.ParseAddr(q.From)
	switch {
	case q.From == "" || q.To == "" && q.Protocol == "":
		return out, fmt.Errorf("name the packet with --from ADDRESS and --to [ADDRESS:]PORT[/PROTOCOL]")
	case err != nil || from.Zone() != "" || from.Is4In6():
		return out, fmt.Errorf("--from takes an address, not %q", q.From)
	}
	out = packet.Packet{Hook: packet.Forward, In: q.In, Out: q.Out, Source: from, Sport: q.SourcePort,
		State: packet.State(strings.ToUpper(q.State)), Reply: q.Direction == "reply", SNAT: q.SNAT, DNAT: q.DNAT}
	if outside := doc.Host.Outside(); out.In == "" && len(outside) > 0 {
		out.In = sample(outside[0], "eth", doc.Host.Internal)
	}
	if out.Out == "" {
		out.Out = leaving(doc.Host.Bridges)
	}
	known := meaning.IPSets(doc, out.Family())
	for _, name := range q.IPSets {
		if !slices.Contains(known, name) {
			return out, fmt.Errorf("--in-ipset takes an ipset of IPv%d that the policy names and others fill, not %q", out.Family(), name)
		}
	}
	out.Members = packet.MembershipsOf(known, func(name string) bool { return slices.Contains(q.IPSets, name) })
	if err := q.words(&out); err != nil {
		return out, err
	}
	q.doc = doc
	if err := q.target(&out); err != nil {
		return out, err
	}
	if err := q.details(&out); err != nil {
		return out, err
	}
	return out, q.after(&out)
}

// sample is a name of an interface that a pattern covers and none of the others does.
func sample(i schema.Interface, stem string, others []schema.Interface) string {
	if !i.Prefix {
		return i.Name
	}
	if i.Name != "" {
		stem = i.Name
	}
	const most = 100
	for n := range most {
		name := schema.Interface{Name: fmt.Sprint(stem, n)}
		if !slices.ContainsFunc(others, func(o schema.Interface) bool { return o.Covers(name) }) {
			return name.Name
		}
	}
	return stem
}

// leaving is docker0, or where the host names bridges and it is none of them, the first.
func leaving(bridges []schema.Interface) string {
	docker0 := schema.Interface{Name: "docker0"}
	if len(bridges) == 0 || slices.ContainsFunc(bridges, func(b schema.Interface) bool { return b.Covers(docker0) }) {
		return docker0.Name
	}
	return sample(bridges[0], "", nil)
}

// words checks the flags that take one of a few words.
func (q *Question) words(out *packet.Packet) error {
	switch {
	case !slices.Contains(packet.States, out.State):
		return fmt.Errorf("--state is new, established, related, invalid or untracked, not %q", q.State)
	case q.Direction != "original" && q.Direction != "reply":
		return fmt.Errorf("--direction is original or reply, not %q", q.Direction)
	case out.Reply && out.State == packet.New:
		return fmt.Errorf("an answer belongs to an established connection: add --state established")
	case q.Chain == "input":
		out.Hook, out.Out = packet.Input, ""
	case q.Chain != "forward":
		return fmt.Errorf("--chain is forward or input, not %q", q.Chain)
	}
	if !out.Known() {
		out.Reply, out.SNAT, out.DNAT = false, false, false
	}
	return nil
}

// zeroPort is port 0 at the end of --to.
var zeroPort = regexp.MustCompile(`^(|.*:)0(/[a-z]+)?$`)

// target reads --to and --protocol.
func (q *Question) target(out *packet.Packet) error {
	if q.Protocol != "" { // such a packet has no port
		if a, err := netip.ParseAddr(q.To); err == nil || q.To == "" {
			out.OrigDst = a
			return q.otherProtocol(out)
		}
	}
	// Port 0 is none that a policy can name, but a packet can have it.
	text := zeroPort.ReplaceAllString(q.To, "${1}1$2")
	e, err := schema.ParseEndpoint(text)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if e.Ports.First != e.Ports.Last {
		return fmt.Errorf("--to takes one port, because a packet has one")
	}
	out.OrigPort, out.Protocol, out.OrigDst = int(e.Ports.First), packet.Protocol(e.Ports.Protocol), e.Address
	if text != q.To {
		out.OrigPort = 0
	}
	return q.otherProtocol(out)
}

// otherProtocol reads --protocol, and gives a packet a destination that has none.
func (q *Question) otherProtocol(out *packet.Packet) error {
	if q.Protocol != "" {
		n, ok := packet.ParseProtocol(q.Protocol)
		if !ok {
			return fmt.Errorf("--protocol is icmp, ipv6-icmp or a number up to 255, not %q", q.Protocol)
		}
		out.Protocol = n
	}
	if !out.OrigDst.IsValid() {
		out.OrigDst = q.unsaid(out)
	}
	if out.OrigDst.Is4() != out.Source.Is4() {
		return fmt.Errorf("--from and --to are of different address families; no packet has both")
	}
	return nil
}

// unsaid is the address of the host where --to has none: one that a policy names, if all
// policies for the port name some, or else one that none does.
func (q *Question) unsaid(of *packet.Packet) netip.Addr {
	var named netip.Addr
	for _, policy := range q.doc.Policies {
		if !slices.ContainsFunc(policy.Ports, func(r schema.Ports) bool {
			return packet.Protocol(r.Protocol) == of.Protocol && int(r.First) <= of.OrigPort && of.OrigPort <= int(r.Last)
		}) {
			continue
		}
		if len(policy.Address) == 0 {
			named = netip.Addr{}
			break
		}
		for _, x := range policy.Address {
			if !named.IsValid() && x.Addr().Is4() == of.Source.Is4() {
				named = x.Addr()
				q.Note = fmt.Sprintf("--to has no address; %s is used, which policy %s names", named, policy.Name)
			}
		}
	}
	if named.IsValid() {
		return named
	}
	q.Note = ""
	if of.Family() == packet.IPv6 {
		return netip.MustParseAddr("2001:db8::2")
	}
	return netip.MustParseAddr("198.51.100.2")
}

// after reads where the packet goes after DNAT.
func (q *Question) after(out *packet.Packet) error {
	out.Dest, out.Dport = out.OrigDst, out.OrigPort
	if q.Destination == "" {
		if out.Hook == packet.Forward && out.Known() {
			out.Dest = netip.MustParseAddr("172.17.0.2")
			if out.Family() == packet.IPv6 {
				out.Dest = netip.MustParseAddr("fd00::2")
			}
		}
		return nil
	}
	if ap, err := netip.ParseAddrPort(q.Destination); err == nil {
		out.Dest, out.Dport = ap.Addr(), int(ap.Port())
	} else if a, err := netip.ParseAddr(q.Destination); err == nil {
		out.Dest = a
	} else {
		return fmt.Errorf("--destination takes ADDRESS[:PORT], not %q", q.Destination)
	}
	if out.Dest.Is4() != out.Source.Is4() {
		return fmt.Errorf("--from and --destination are of different address families; no packet has both")
	}
	return nil
}
