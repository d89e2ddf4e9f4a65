package compiler

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
)

// FitsShared returns an *UnfitError for a policy whose files in a format would undo what
// others put into a shared DOCKER-USER, and nil for every other. An accept ends the walk
// before the bans that stand behind the jump to Seawall's rules. A file that is loaded with
// --noflush again and again can neither declare the chain, which empties it, nor add the
// jump, which would be there once more after each load.
func FitsShared(doc *schema.Document, f *emit.Format) error {
	if !doc.Host.Shared || f.NFT {
		return nil
	}
	if at := accepts(doc); at != nil {
		return &UnfitError{`An accept in a shared DOCKER-USER`,
			"An accept gets packets past all rules that stand behind it, and so past bans that others have put into DOCKER-USER. " +
				`Leave it out: what Docker publishes passes without it. Or write docker_user = "whole" if nobody else uses the chain.`, *at}
	}
	if !f.Reloads {
		return nil
	}
	return &UnfitError{`docker_user = "shared" does not fit netfilter-persistent`,
		"Its reload loads the file again while Docker runs, and a file can only empty DOCKER-USER or add the jump to it once more. Use --for nftables, a table of its own: " +
			"what others put into DOCKER-USER stays as it is.", doc.Host.At("docker_user")}
}

// accepts is the place of the first accept of a policy that is not a forward block's, nil
// for none.
func accepts(doc *schema.Document) *hcl.Range {
	for i, is := range []schema.Treatment{doc.Host.Established, doc.Host.Related} {
		if is == schema.Accepted {
			at := doc.Host.At([]string{"established", "related"}[i])
			return &at
		}
	}
	for _, r := range blocks(doc) {
		if r.Verdict == schema.Accept {
			return &r.Range
		}
	}
	return nil
}
