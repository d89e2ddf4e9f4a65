package compiler

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
)

// SharedError is a policy with docker_user = "shared" whose files cannot leave the rules of
// others in DOCKER-USER alone.
type SharedError struct {
	Summary, Detail string
	At              hcl.Range
}

func (e *SharedError) Error() string { return e.Summary + ". " + e.Detail }

// FitsShared returns a *SharedError for a policy whose files in a format would undo what
// others put into a shared DOCKER-USER, and nil for every other. A file that is loaded with
// --noflush again and again can neither declare the chain, which empties it, nor add the
// jump, which would be there once more after each load.
func FitsShared(doc *schema.Document, f *emit.Format) error {
	if !doc.Host.Shared || !f.Reloads {
		return nil
	}
	return &SharedError{`docker_user = "shared" does not fit netfilter-persistent`,
		"Its reload loads the file again while Docker runs, and a file can only empty DOCKER-USER or add the jump to it once more. Use --for nftables, a table of its own: " +
			"what others put into DOCKER-USER stays as it is.", doc.Host.Range}
}
