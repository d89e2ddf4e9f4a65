package match

import "github.com/seawall/seawall/compiler/packet"

// udp matches ports (libxt_udp.c).
func init() {
	register(Module{Name: "udp", Kind: MatchKind, Exact: true, Native: true, Protocols: []packet.Protocol{packet.UDP}, Means: portsOrUnsure(decimalPort), Options: portOptions(Own, anyOrder, decimalPort)})
}
