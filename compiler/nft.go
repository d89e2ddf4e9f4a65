package compiler

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/schema"
)

// FitsNFTables returns an *UnfitError for a policy that a table of nftables cannot
// carry out, and nil for every other. What forward blocks accept passes in any case.
func FitsNFTables(doc *schema.Document) error {
	if doc.Host.AcceptMark == 0 {
		for _, x := range []struct {
			what string
			is   schema.Treatment
		}{{`established = "accept"`, doc.Host.Established}, {`related = "accept"`, doc.Host.Related}} {
			if x.is == schema.Accepted {
				return needsMark(x.what, doc.Host.Range)
			}
		}
	}
	for _, r := range blocks(doc) {
		for _, list := range []*schema.Sources{r.Sources, r.Except} {
			if ref := list.Filled(); ref != nil {
				return &UnfitError{"An ipset that nftables cannot match", "set." + ref.Set.Name + " is an ipset, and nft has no match of one. " +
					"Let its owner close in a table of its own: CrowdSec's firewall bouncer does with \"mode: nftables\", and fail2ban with its nftables actions. A drop in any table is final. Or use one of the formats of iptables.", ref.Range}
			}
		}
		if r.Verdict == schema.Accept && doc.Host.AcceptMark == 0 {
			return needsMark("accept = true", r.Range)
		}
		if i := strings.IndexAny(r.Log, `"$`); i >= 0 {
			return &UnfitError{"A log prefix that nft cannot keep",
				"The prefix has " + r.Log[i:i+1] + " in it, which nft reads as something else: it knows no escapes. Leave it out.", r.Range}
		}
	}
	return nil
}

// blocks are all allow and deny blocks.
func blocks(doc *schema.Document) []*schema.Rule {
	var list []*schema.Rule
	if doc.Guard != nil {
		list = append(list, doc.Guard.Rules...)
	}
	for _, p := range doc.Policies {
		list = append(list, p.Rules...)
	}
	return list
}

func needsMark(what string, at hcl.Range) error {
	return &UnfitError{"An accept that nftables cannot carry out", what + " lets packets past Docker's own rules. In nftables an accept only ends the rules of its own table, and Docker's rules come after them. " +
		"Docker lets packets with a certain mark through: start it with --bridge-accept-fwmark=0x1/0x1 (Docker 29 or later), and write accept_mark = \"0x1\" into the host block. " +
		"Or leave the accept out: what Docker publishes passes without it.", at}
}

// nftNotes says what a table of its own cannot promise.
func nftNotes(doc *schema.Document) []string {
	if len(doc.Forwards) == 0 || doc.Host.AcceptMark != 0 {
		return nil
	}
	return []string{"forward blocks only keep Seawall from denying this traffic: where another table drops what it forwards (an iptables FORWARD policy of DROP), an accept in a table of nftables does not help. With accept_mark, and Docker's --bridge-accept-fwmark, it does"}
}
