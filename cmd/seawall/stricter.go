package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/sarif"
	"github.com/spf13/cobra"
)

// allowStricter is what the commands that have --allow-stricter say of it.
const allowStricter = `With --allow-stricter it is enough that the rules let nothing through that the policy
does not: bans of fail2ban or CrowdSec may come and go, and nothing may open. A packet
that the policy allows may be denied, one that it accepts may be left to Docker's own
rules, and one that it denies may be denied with another answer. A rule that cannot be
evaluated is stricter if it is so whether it matches or not, as one that can only drop.`

func registerStricter(c *cobra.Command, allow *bool) {
	c.Flags().BoolVar(allow, "allow-stricter", false, "allow rules that deny more than the policy, and open nothing")
}

// briefly says in a line which packets rules treat more strictly than the policy, and by
// which rules.
func briefly(list []*prove.Difference) string {
	return eachBriefly(list, func(d *prove.Difference) string { return fmt.Sprintf("%s: %s (%s)", who(d), d.File, decidedBy(d)) })
}

// eachBriefly lists a few differences in a line.
func eachBriefly(list []*prove.Difference, say func(*prove.Difference) string) string {
	const most = 3
	var texts []string
	for i, d := range list {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %s", count(len(list)-i, "more difference", "more differences")))
			break
		}
		texts = append(texts, say(d))
	}
	return strings.Join(texts, "; ")
}

// who names the packets of a difference: with their ports where it is about them alone,
// and by their sources where it is about more.
func who(d *prove.Difference) string {
	const most = 3
	var clauses []prove.Clause
	var sources []string
	for _, l := range d.Lines {
		for _, c := range l.Clauses {
			clauses = append(clauses, c)
			if text := c.Who.Shorten(most); !slices.Contains(sources, text) {
				sources = append(sources, text)
			}
		}
	}
	if len(clauses) == 1 {
		return clauses[0].String()
	}
	return packet.Shorten(sources)
}

// decidedBy names the rule that decides, or that cannot be evaluated.
func decidedBy(d *prove.Difference) string {
	if s := d.Way.Unsure(); s != nil && d.Undecided() {
		return fmt.Sprintf("line %d: %s", s.Line, s.Rule)
	}
	return lastStep(d.Way)
}

// ofStricter is one result of SARIF for all differences that are allowed, and none where
// there are none.
func ofStricter(f *compiler.Rules, list []*prove.Difference) []sarif.Result {
	if len(list) == 0 {
		return nil
	}
	r := sarif.Result{Rule: ruleStricter, Level: sarif.Note, At: &sarif.Place{File: f.Name},
		Message: fmt.Sprintf("%s is stricter than the policy, for %v, which --allow-stricter allows: %s.", f.Name, f.Family(), briefly(list))}
	if s := list[0].Way.Decider(); s != nil {
		r.At.Line = s.Line
	}
	return []sarif.Result{r}
}
