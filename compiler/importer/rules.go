package importer

import (
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
)

// ruleset is the rules of one family that are imported, whatever dialect they are written
// in. What a policy is planned and proved from, beyond the diagrams, stands here.
type ruleset interface {
	// hooks are those at which there are chains to import.
	hooks() []packet.Hook
	// patterns are the interfaces that any rule of the family names.
	patterns() []string
	// rules are those that packets come to, in the order of the file.
	rules() []*rule
	// evaluates returns a function that reports whether all of a rule can be evaluated.
	evaluates(*packet.Space) func(*rule) bool
	// reader reads the chains, with some rules changed.
	reader(*diagram.Store, *packet.Space, changes) hookReader
	// way follows a packet through the chains.
	way(packet.Packet) *dialect.Way
	// rest is what Docker's rules do with the packets that the chains pass, as final
	// verdicts; false where the file does not have them.
	rest(*diagram.Store, *packet.Space) (diagram.Ref, bool, error)
	// dropped is the verdict on packets before conntrack sees them; false where no rule
	// stands there.
	dropped(*diagram.Store, *packet.Space) (diagram.Ref, bool, error)
	// nat is what the file says of published ports.
	nat() *natTable
	// untracks reports whether a rule may take packets out of conntrack, as far as the
	// file shows.
	untracks() bool
	// comment is what people wrote about the rules that name a port: as it is published,
	// or as DNAT leaves it, which is "" where that is not known.
	comment(first portRange, container string) string
	// finalAccept reports whether a rule can let packets past Docker's rules.
	finalAccept() bool
	// acceptMark is the mark that does so, 0 for none.
	acceptMark() uint32
	// title is what is imported, as a comment names it.
	title() string
	// beyond are rules that do more than decide.
	beyond() []Lost
	// notes say what of the file was not read.
	notes() []string
	// looseInput reports whether chains of the hook input are imported only if a policy
	// says what they say: they may be about the host's own services.
	looseInput() bool
	// natWords are what messages say of the rules that say what is published: where the
	// file has none, and where there are others.
	natWords() (missing, others string)
}

// hookReader is a function of the chains at a hook.
type hookReader func(packet.Hook) (diagram.Ref, error)

// change is how a rule is read in another way.
type change int

const (
	omitted  change = iota + 1 // as if it were not there
	anything                   // anything may become of the packets that it logs, and they go on
)

type changes map[*rule]change

// rule is what the importer asks of one rule.
type rule struct {
	line       int
	text       string     // with its chain
	in, outs   []string   // interfaces that it names
	translated bool       // it asks for the destination as DNAT left it
	log        *logAction // nil for a rule that does not log
	of         any        // the dialect's own rule
}

// logAction is what a rule logs with.
type logAction struct {
	prefix string // as a policy says it
	rate   string // of the limit, as log_limit says it; "" for none
}

// rateWord is a rate such as 10/min as log_limit says it, "" for none of these.
func rateWord(text string) string {
	n, unit, _ := strings.Cut(text, "/")
	for _, full := range []string{"second", "minute", "hour", "day"} {
		if strings.HasPrefix(full, unit) && unit != "" {
			return n + "/" + full
		}
	}
	return ""
}

// rules are the chain's, in its dialect.
func (c *Chain) rules() ruleset {
	if c.NFT != nil {
		return newNFTRules(c)
	}
	return newTableRules(c)
}
