package nftables

// Statement is one step of a rule; they are carried out from the first on, until
// one does not match or is a verdict.
type Statement interface{ append([]byte) []byte }

// Match compares. Op is "==", "!=", "<", "<=", ">" or ">=", or "" where none is
// written: equal to a value, in a set, prefix or range, and of bit masks (ct state,
// ct status, tcp flags) at least one of the bits.
type Match struct {
	Left  Expr
	Op    string
	Right Expr
}

// Lookup is a verdict map: the verdict of the element that the key is in. Without
// one, the rule does not match.
type Lookup struct {
	Key Expr
	Map Expr // Named or Literal
}

// Verdict is accept, drop, return, continue, jump or goto.
type Verdict struct {
	Kind  VerdictKind
	Chain string // of jump and goto
}

// VerdictKind is the kind of a verdict.
type VerdictKind uint8

// The verdicts.
const (
	Accept VerdictKind = iota
	Drop
	Return
	Continue
	Jump
	Goto
)

// Reject drops with an answer. With is what follows "reject with": "tcp reset",
// "icmp port-unreachable", "icmpv6 no-route", "icmpx admin-prohibited"; "" where
// nothing is written, which is port-unreachable.
type Reject struct{ With string }

// Assign changes something of the packet or of its connection: meta mark set VALUE.
type Assign struct {
	Left  Expr // a Selector
	Right Expr
}

// Limit matches so many packets in a time. Text is all of it: "limit rate 10/minute
// burst 5 packets".
type Limit struct{ Text string }

// Log logs. Text is all that follows "log" but for the prefix.
type Log struct {
	Prefix string
	Text   string
}

// Note is a statement without an effect on a packet's way: counter, notrack, the
// name of a set of counters. Text is all of it.
type Note struct{ Text string }

// Foreign is a statement that the reader does not know, or that hands the packet to
// somebody else: queue, synproxy, tproxy, add @set. Anything may become of the
// packet. Text is all of it.
type Foreign struct{ Text string }
