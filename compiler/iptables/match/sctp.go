package match

import "github.com/seawall/seawall/compiler/packet"

// sctp has ports and chunk types (libxt_sctp.c); only the ports are evaluated.
func init() {
	register(Module{Name: "sctp", Kind: MatchKind, Protocols: []packet.Protocol{packet.SCTP}, Means: portsOrUnsure(portWord), Options: append(portOptions(Own, ordered, portWord),
		Option{Name: "chunk-types", Value: Own, Values: 2, Not: true, Valid: folded("all", "any", "only")})})
}
