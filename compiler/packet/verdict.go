package packet

import (
	"math/bits"
	"strings"
)

// Verdict is what can become of a packet: a set of outcomes, a single one if it is
// known, several if they depend on a rule that cannot be evaluated.
type Verdict uint32

// The outcomes. A chain's own steps (continue, return) are not verdicts; whoever
// walks chains handles them.
const (
	Pass        Verdict = 1 << iota // back to Docker's own rules, or the host's in INPUT
	Accept                          // ACCEPT
	Deny                            // DROP
	Reset                           // REJECT with tcp-reset
	Unreachable                     // REJECT with port-unreachable
	OtherReject                     // REJECT with another answer
	Unknown                         // a target that cannot be evaluated: anything
	HostDeny                        // dropped or rejected by the host's own INPUT rules
)

// Open are the outcomes that let a packet through, Closed those that do not.
const (
	Open   = Pass | Accept
	Closed = Deny | Reset | Unreachable | OtherReject | HostDeny
)

// Known reports whether there is one outcome, and it is not a target that
// cannot be evaluated.
func (v Verdict) Known() bool { return bits.OnesCount32(uint32(v)) == 1 && v != Unknown }

// IsOpen reports whether a packet gets through for certain.
func (v Verdict) IsOpen() bool { return v != 0 && v&^Open == 0 }

// IsClosed reports whether a packet does not get through for certain.
func (v Verdict) IsClosed() bool { return v != 0 && v&^Closed == 0 }

// words names the outcomes, in the order in which they are listed.
var words = []struct {
	v    Verdict
	text string
}{
	{Pass, "pass"}, {Accept, "accept"}, {Deny, "deny"}, {Reset, "reject with tcp-reset"},
	{Unreachable, "reject with port-unreachable"}, {OtherReject, "reject with another answer"},
	{Unknown, "a target that Seawall does not know"}, {HostDeny, "the host's own drop"},
}

func (v Verdict) String() string {
	var list []string
	for _, w := range words {
		if v&w.v != 0 {
			list = append(list, w.text)
		}
	}
	return strings.Join(list, " or ")
}

// MarshalText writes the verdict as String does.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }
