package match

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// tcp matches ports and flags (libxt_tcp.c; net/netfilter/xt_tcpudp.c, tcp_mt).
func init() {
	register(Module{Name: "tcp", Kind: MatchKind, Native: true, Protocols: []packet.Protocol{packet.TCP}, Means: tcp, Kept: keptTCP, Options: append(portOptions(Own, ordered, portWord),
		Option{Name: "tcp-flags", Value: Own, Values: 2, Not: true, Valid: validFlags},
		Option{Name: "syn", Not: true, Excludes: []string{"tcp-flags"}},
		Option{Name: "tcp-option", Value: Uint8, Min: 1, Not: true})})
}

var flagBits = map[string]int{"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}

// flags parses a list of flags in any case; like strtok, it skips empty parts.
func flags(list string) (bits int, ok bool) {
	for _, name := range strings.Split(list, ",") {
		bit, known := flagBits[strings.ToUpper(name)]
		if !known && name != "" {
			return 0, false
		}
		bits |= bit
	}
	return bits, true
}

func validFlags(_ packet.Family, values []string) bool {
	_, mask := flags(values[0])
	_, comp := flags(values[1])
	return mask && comp
}

// keptTCP: --syn is kept as the flags that it stands for, and flags that are not
// matched on as none.
func keptTCP(f packet.Family, u *Use) (string, bool) {
	ports, known := keptPortOptions(f, u)
	asked := "0 0"
	for _, g := range u.Options {
		switch g.Name {
		case "--syn", "--tcp-flags":
			mask, comp := flagBits["SYN"]|flagBits["RST"]|flagBits["ACK"]|flagBits["FIN"], flagBits["SYN"]
			if g.Name == "--tcp-flags" {
				mask, _ = flags(g.Values[0])
				comp, _ = flags(g.Values[1])
			}
			known = known && mask != 0
			asked = fmt.Sprintf("%t %d %d", g.Not, mask, comp)
		case "--tcp-option":
			n, _ := WholeNumber(g.Values[0], 0, 255)
			asked += fmt.Sprintf(" option %t %d", g.Not, n)
		}
	}
	return ports + " " + asked, known
}

func tcp(r *Reader, u *Use) Cases {
	var b diagram.Box
	unsure := ""
	for _, g := range u.Options {
		switch g.Name {
		case "--tcp-flags":
			mask, _ := flags(g.Values[0])
			if comp, _ := flags(g.Values[1]); mask == 0 && (g.Not || comp != 0) { // the back ends treat that differently
				unsure = either(unsure, u.String())
				continue
			}
			b[packet.TCPFlags] = r.Not(g.Not, packet.TCPFlags, flagSet(g.Values[0], g.Values[1]))
		case "--syn":
			b[packet.TCPFlags] = r.Not(g.Not, packet.TCPFlags, flagSet("SYN,RST,ACK,FIN", "SYN"))
		case "--sport", "--dport":
			if !portOption(r, &b, g, portWord) {
				unsure = either(unsure, u.String())
			}
		default:
			unsure = either(unsure, u.String())
		}
	}
	if b.Empty() {
		return Never
	}
	return Cases{{b, unsure}}
}

// flagSet returns the combinations of flags whose bits under the mask are comp.
func flagSet(mask, comp string) diagram.Set {
	m, _ := flags(mask)
	c, _ := flags(comp)
	list := []diagram.Span{}
	for v := range 64 {
		if v&m == c {
			list = append(list, diagram.Span{Lo: diagram.Small(v), Hi: diagram.Small(v)})
		}
	}
	return diagram.Normal(list)
}
