package match

import "github.com/seawall/seawall/compiler/packet"

// dccp has ports, packet types and options (libxt_dccp.c); only the ports are
// evaluated.
func init() {
	register(Module{Name: "dccp", Kind: MatchKind, Protocols: []packet.Protocol{packet.DCCP}, Means: portsOrUnsure(decimalPort), Options: append(portOptions(Own, anyOrder, decimalPort),
		Option{Name: "dccp-types", Value: Own, Not: true},
		Option{Name: "dccp-option", Value: Uint8, Min: 1, Not: true})})
}
