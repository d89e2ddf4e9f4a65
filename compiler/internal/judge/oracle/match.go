package oracle

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A verdict of a match: it does not match, nobody knows, or it matches.
type tri int

const (
	no tri = iota
	maybe
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// not inverts where asked.
func (t tri) not(invert bool) tri {
	if invert {
		return yes - t
	}
	return t
}

// A memory is what the packet has met on its way that makes later matches not
// evaluable.
type memory struct {
	mark bool
	sets []string // sorted
}

// An env is what a match is evaluated with.
type env struct {
	ruleset *Ruleset
	rule    *rule
	packet  Packet
	memory  memory
}

// matches reports whether a rule matches: all of its conditions have to.
func (e env) matches() tri {
	r, p := e.rule, e.packet
	result := min(r.src.matches(p.Src), r.dst.matches(p.Dst), r.in.matches(p.In), r.out.matches(p.Out), e.protocol())
	if r.frag {
		result = min(result, triOf(p.Fragment != r.fragInvert))
	}
	for _, m := range r.matches {
		result = min(result, e.extension(m))
	}
	return result
}

func (a addressCond) matches(addr netip.Addr) tri {
	switch {
	case !a.set:
		return yes
	case a.nets[0].unknown:
		return maybe
	}
	return triOf(a.nets[0].contains(addr) != a.invert)
}

// matches compares an interface: a name that ends in + is a prefix.
func (i interfaceCond) matches(name string) tri {
	prefix, wild := strings.CutSuffix(i.name, "+")
	switch {
	case !i.set:
		return yes
	case wild:
		return triOf(strings.HasPrefix(name, prefix) != i.invert)
	}
	return triOf((name == i.name) != i.invert)
}

// protocol compares -p. Protocol 0 is every packet. A number above 255, which
// only a name can have, the back ends treat differently.
func (e env) protocol() tri {
	switch {
	case e.rule.proto == 0:
		return yes
	case e.rule.proto > 255:
		return maybe
	}
	return triOf((e.packet.Protocol == e.rule.proto) != e.rule.protoInvert)
}

func (e env) extension(m extension) tri {
	switch m.name {
	case "comment":
		return yes
	case "conntrack", "state":
		return e.conntrack(m)
	case "tcp":
		return e.transport(m, protoTCP)
	case "udp":
		return e.transport(m, protoUDP)
	case "sctp":
		return e.transport(m, protoSCTP)
	case "dccp":
		return e.transport(m, protoDCCP)
	case "icmp":
		return e.icmp(m, 4, protoICMP)
	case "icmp6":
		return e.icmp(m, 6, protoICMPv6)
	case "multiport":
		return e.multiport(m)
	case "iprange":
		return e.iprange(m)
	case "mark":
		return e.mark(m)
	case "set":
		return e.set(m)
	}
	return maybe
}

// requires reports whether the rule's -p is the protocol that a match needs.
// The legacy back end refuses a rule where it is not; nf_tables takes some.
func (e env) requires(protocols ...int) bool {
	return slices.Contains(protocols, e.rule.proto) && !e.rule.protoInvert
}

// transport evaluates the matches tcp, udp, sctp and dccp. They match no
// packet of another protocol and no further fragment.
func (e env) transport(m extension, protocol int) tri {
	if !e.requires(protocol) {
		return maybe
	}
	result := triOf(e.packet.Protocol == protocol)
	for _, o := range m.options {
		result = min(result, e.transportOption(m.name, o))
	}
	if e.packet.Fragment && result == yes {
		return no
	}
	return result
}

func (e env) transportOption(match string, o option) tri {
	value := e.packet.Dport
	switch o.name {
	case "sport":
		value = e.packet.Sport
	case "dport":
	case "tcp-flags":
		return e.tcpFlags(o)
	default:
		return maybe
	}
	ports, err := portSpan(o.args[0], decimalPorts(match))
	if err != nil {
		return maybe
	}
	// The nf_tables back end forgets "! --dport 0:65535" of tcp and udp; for
	// legacy it never matches.
	if o.invert && ports == (span{0, 65535}) && (match == "tcp" || match == "udp") {
		return maybe
	}
	return triOf(ports.contains(value) != o.invert)
}

// tcpFlags compares the flags under a mask. The nf_tables back end forgets
// "! --tcp-flags NONE NONE"; for legacy it never matches.
func (e env) tcpFlags(o option) tri {
	mask, err1 := tcpFlags(o.args[0])
	value, err2 := tcpFlags(o.args[1])
	if errors.Join(err1, err2) != nil || o.invert && mask == 0 && value == 0 {
		return maybe
	}
	return triOf((e.packet.TCPFlags&mask == value) != o.invert)
}

func (e env) icmp(m extension, family, protocol int) tri {
	if e.ruleset.Family != family || !e.requires(protocol) {
		return maybe
	}
	if e.packet.Protocol != protocol || e.packet.Fragment {
		return no
	}
	result := yes
	for _, o := range m.options {
		t, err := icmpTypeOf(o.args[0], icmpTable(family))
		if err != nil {
			return maybe
		}
		match := t.kind == e.packet.ICMPType && t.codes.contains(e.packet.ICMPCode) || family == 4 && t.kind == 255
		result = min(result, triOf(match != o.invert))
	}
	return result
}

func icmpTable(family int) map[string]icmpType {
	if family == 6 {
		return icmp6Names
	}
	return icmpNames
}

func (e env) multiport(m extension) tri {
	if !e.requires(protoTCP, protoUDP, protoUDPLite, protoSCTP, protoDCCP) {
		return maybe
	}
	p := e.packet
	if p.Protocol != e.rule.proto || p.Fragment {
		return no
	}
	result := yes
	for _, o := range m.options {
		ports, err := portList(o.args[0])
		if err != nil {
			return maybe
		}
		match := false
		for _, s := range ports {
			match = match || s.contains(p.Sport) && o.name != "dports" || s.contains(p.Dport) && o.name != "sports"
		}
		result = min(result, triOf(match != o.invert))
	}
	return result
}

func (e env) iprange(m extension) tri {
	result := yes
	for _, o := range m.options {
		first, last, err := addressRange(o.args[0], e.ruleset.Family)
		if err != nil {
			return maybe
		}
		a := e.packet.Dst
		if o.name == "src-range" {
			a = e.packet.Src
		}
		match := first.Compare(a) <= 0 && a.Compare(last) <= 0
		result = min(result, triOf(match != o.invert))
	}
	return result
}

func (e env) mark(m extension) tri {
	if e.memory.mark {
		return maybe
	}
	result := yes
	for _, o := range m.options {
		value, mask, err := markOf(o.args[0])
		if err != nil {
			return maybe
		}
		result = min(result, triOf((e.packet.Mark&mask == value) != o.invert))
	}
	return result
}

// set evaluates a look-up of the source or the destination in a set of one
// dimension.
func (e env) set(m extension) tri {
	if len(m.options) != 1 || m.options[0].name != "match-set" {
		return maybe
	}
	o := m.options[0]
	s := e.ruleset.Sets[o.args[0]]
	switch {
	case s == nil, !s.exact, s.family != e.ruleset.Family:
		return maybe
	case slices.Contains(e.memory.sets, o.args[0]):
		return maybe
	case e.ruleset.Live && slices.Contains(e.ruleset.changedSets(), o.args[0]):
		return maybe
	}
	switch o.args[1] {
	case "src":
		return triOf(s.contains(e.packet.Src) != o.invert)
	case "dst":
		return triOf(s.contains(e.packet.Dst) != o.invert)
	}
	return maybe
}

// changedSets returns the sets that SET targets of the file name.
func (r *Ruleset) changedSets() []string {
	var result []string
	for _, table := range r.tables {
		for _, c := range table {
			for _, one := range c.rules {
				result = append(result, setsOf(one.target)...)
			}
		}
	}
	return result
}

// setsOf returns the sets that a SET target changes.
func setsOf(target extension) []string {
	var result []string
	for _, o := range target.options {
		if target.name == "SET" && (o.name == "add-set" || o.name == "del-set") {
			result = append(result, o.args[0])
		}
	}
	return result
}

// conntrack evaluates the matches conntrack and state as xt_conntrack does:
// the state first; a packet without an entry then matches if the state was
// asked for, and the other conditions are skipped.
func (e env) conntrack(m extension) tri {
	result := yes
	asked := false
	for _, o := range m.options {
		if o.name == "ctstate" || o.name == "state" {
			asked = true
			result = min(result, e.state(o))
		}
	}
	if !e.packet.Known {
		return min(result, triOf(asked))
	}
	for _, o := range m.options {
		result = min(result, e.conntrackOption(o))
	}
	return result
}

// state compares the state of the packet. Only a packet with an entry has the
// virtual states SNAT and DNAT.
func (e env) state(o option) tri {
	p := e.packet
	list, err := states(o.args[0])
	if err != nil {
		return maybe
	}
	match := slices.Contains(list, p.State) ||
		p.Known && p.SNAT && slices.Contains(list, "SNAT") ||
		p.Known && p.DNAT && slices.Contains(list, "DNAT")
	return triOf(match != o.invert)
}

func (e env) conntrackOption(o option) tri {
	p := e.packet
	switch o.name {
	case "ctstate", "state":
		return yes
	case "ctdir":
		return triOf(p.Reply == strings.EqualFold(o.args[0], "REPLY")).not(o.invert)
	case "ctproto":
		n, err := protocol(o.args[0])
		if err != nil || n > 255 {
			return maybe
		}
		entry := p.Protocol
		if p.CTProtocol != 0 {
			entry = p.CTProtocol
		}
		return triOf((entry == n) != o.invert)
	case "ctorigdst":
		n, err := networkOf(o.args[0], e.ruleset.Family)
		if err != nil || n.unknown || !p.OrigDst.IsValid() {
			return maybe
		}
		return triOf(n.contains(p.OrigDst) != o.invert)
	case "ctorigdstport":
		ports, err := portSpan(o.args[0], true)
		if err != nil {
			return maybe
		}
		return triOf(ports.contains(p.OrigDport) != o.invert)
	}
	return maybe
}

// checkRule returns an error for the arguments that iptables would refuse,
// where the evaluation looks at them.
func (f *file) checkRule(r *rule) error {
	for _, m := range r.matches {
		if err := checkMatch(m, f.ruleset.Family); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	for _, o := range r.target.options {
		if r.target.name == "REJECT" {
			if _, err := rejectType(o.args[0], f.ruleset.Family); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkMatch(m extension, family int) error {
	required := map[string]int{"conntrack": 1, "state": 1, "icmp": 1, "icmp6": 1, "multiport": 1, "iprange": 1, "mark": 1, "set": 1, "comment": 1}
	if len(m.options) < required[m.name] {
		return errors.New("an option must be specified")
	}
	if m.name == "multiport" && len(m.options) > 1 {
		return errors.New("only one list of ports is allowed")
	}
	for _, o := range m.options {
		if err := checkOption(m.name, o, family); err != nil {
			return fmt.Errorf("--%s: %w", o.name, err)
		}
	}
	return nil
}

// checkOption returns an error for an argument that cannot be read.
func checkOption(match string, o option, family int) error {
	var err error
	switch match + " " + o.name {
	case "tcp sport", "tcp dport", "udp sport", "udp dport", "sctp sport", "sctp dport", "dccp sport", "dccp dport", "conntrack ctorigdstport":
		_, err = portSpan(o.args[0], decimalPorts(match))
	case "tcp tcp-flags":
		_, err1 := tcpFlags(o.args[0])
		_, err2 := tcpFlags(o.args[1])
		err = errors.Join(err1, err2)
	case "icmp icmp-type", "icmp6 icmpv6-type":
		_, err = icmpTypeOf(o.args[0], icmpTable(family))
	case "multiport sports", "multiport dports", "multiport ports":
		_, err = portList(o.args[0])
	case "iprange src-range", "iprange dst-range":
		_, _, err = addressRange(o.args[0], family)
	case "mark mark":
		_, _, err = markOf(o.args[0])
	case "conntrack ctstate", "state state":
		_, err = states(o.args[0])
	case "conntrack ctproto":
		_, err = protocol(o.args[0])
	case "conntrack ctorigdst":
		_, err = networkOf(o.args[0], family)
	case "conntrack ctdir":
		if o.invert || !strings.EqualFold(o.args[0], "ORIGINAL") && !strings.EqualFold(o.args[0], "REPLY") {
			err = errors.New("not ORIGINAL or REPLY, or inverted")
		}
	}
	return err
}
