package compiler

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
)

// NeedsMarkError is the error for a policy that a table of nftables cannot carry
// out: an accept there only ends the table's own say, and Docker's rules come after
// it.
type NeedsMarkError struct {
	What string // accept = true, established = "accept"
	At   hcl.Range
}

func (e *NeedsMarkError) Error() string {
	return fmt.Sprintf("%s needs the host's accept_mark with nftables: an accept in a table of its own does not get past Docker's rules", e.What)
}

// FitsNFTables returns a *NeedsMarkError for a policy with an accept that a table of
// nftables cannot carry out, and nil for every other. What forward blocks accept
// passes in any case.
func FitsNFTables(doc *schema.Document) error {
	if doc.Host.AcceptMark != 0 {
		return nil
	}
	for _, x := range []struct {
		what string
		is   schema.Treatment
	}{{`established = "accept"`, doc.Host.Established}, {`related = "accept"`, doc.Host.Related}} {
		if x.is == schema.Accepted {
			return &NeedsMarkError{x.what, doc.Host.Range}
		}
	}
	lists := [][]*schema.Rule{}
	if doc.Guard != nil {
		lists = append(lists, doc.Guard.Rules)
	}
	for _, p := range doc.Policies {
		lists = append(lists, p.Rules)
	}
	for _, list := range lists {
		for _, r := range list {
			if r.Verdict == schema.Accept {
				return &NeedsMarkError{"accept = true", r.Range}
			}
		}
	}
	return nil
}

// nftNotes says what a table of its own cannot promise.
func nftNotes(doc *schema.Document) []string {
	if len(doc.Forwards) == 0 || doc.Host.AcceptMark != 0 {
		return nil
	}
	return []string{"forward blocks only keep Seawall from denying this traffic: where another table drops what it forwards (an iptables FORWARD policy of DROP), an accept in a table of nftables does not help. With accept_mark, and Docker's --bridge-accept-fwmark, it does"}
}
