package match

import "github.com/seawall/seawall/compiler/packet"

// comment matches every packet (libxt_comment.c). iptables cuts the text at 255 bytes.
func init() {
	register(Module{Name: "comment", Kind: MatchKind,
		Means: func(*Reader, *Use) Cases { return nil },
		Options: []Option{{Name: "comment", Value: Own, Required: true, Kept: keptCut(255),
			Valid: func(packet.Family, []string) bool { return true }}}})
}
