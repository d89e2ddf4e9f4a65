package compiler

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/schema"
)

// UnfitError is the error for a policy that the files of a format cannot carry out.
type UnfitError struct {
	Summary, Detail string
	At              hcl.Range
}

func (e *UnfitError) Error() string { return e.Summary + ": " + e.Detail }

// Fits returns an *UnfitError for a policy that the files of a format cannot carry out,
// and nil for every other.
func Fits(doc *schema.Document, f *emit.Format) error {
	if f.NFT {
		return FitsNFTables(doc)
	}
	return FitsShared(doc, f)
}
