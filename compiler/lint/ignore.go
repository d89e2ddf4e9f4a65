package lint

import (
	"bytes"
	"regexp"

	"github.com/hashicorp/hcl/v2"
)

// comment matches an ignore comment in a policy file or a list file.
var comment = regexp.MustCompile(`(?:#|//)\s*seawall:ignore\b[ \t]*(SW\d{3})?[ \t]*(.*)`)

// silence drops the findings that a comment on the same line, or one of those on the lines
// before, names with a reason. A comment without a code, without a reason, or for something that was not found is
// itself a finding.
func silence(found []Finding, files map[string]*hcl.File) []Finding {
	type mark struct {
		file string
		line int
		code string
	}
	silenced := map[mark]bool{}
	var out []Finding
	for name, f := range files {
		var above []string // what the comments right above name, which have their lines to themselves
		next := 0          // where the next line begins
		for i, line := range bytes.Split(f.Bytes, []byte("\n")) {
			start := next
			next += len(line) + 1
			m := comment.FindSubmatchIndex(line)
			alone := m != nil && len(bytes.TrimSpace(line[:m[0]])) == 0
			if !alone {
				for _, code := range above {
					silenced[mark{name, i, code}] = true // the line before, where the last of them is
				}
				above = nil
			}
			if m == nil {
				continue
			}
			at := hcl.Pos{Line: i + 1, Column: m[0] + 1, Byte: start + m[0]}
			end := at
			end.Column, end.Byte = end.Column+m[1]-m[0], end.Byte+m[1]-m[0]
			code := group(line, m, 1)
			if code == "" || len(bytes.TrimSpace([]byte(group(line, m, 2)))) == 0 {
				out = append(out, Finding{Code: "SW000", Summary: "An ignore comment without effect", At: hcl.Range{Filename: name, Start: at, End: end},
					Detail: "Name the code of a finding on this line or the next, and a reason:\n\n  # seawall:ignore SW007 the honeypot is meant to be found"})
				continue
			}
			silenced[mark{name, i + 1, code}] = true
			if alone {
				above = append(above, code)
			}
		}
	}
	for _, f := range found {
		if !silenced[mark{f.At.Filename, f.At.Start.Line, f.Code}] && !silenced[mark{f.At.Filename, f.At.Start.Line - 1, f.Code}] {
			out = append(out, f)
		}
	}
	return out
}

func group(line []byte, m []int, n int) string {
	if m[2*n] < 0 {
		return ""
	}
	return string(line[m[2*n]:m[2*n+1]])
}
