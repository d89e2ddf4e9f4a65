package playground

import (
	"unicode/utf16"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
)

// Finding is a mistake or a finding, with the words of validate --json.
type Finding struct {
	Severity string `json:"severity"` // error, warning or hint
	Code     string `json:"code,omitempty"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	URL      string `json:"url,omitempty"` // of the code's page
	*Place
}

// Place is a part of a text, with lines and columns for people, and as the page's editor
// counts: in units of UTF-16 from the start of the file.
type Place struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Start     int    `json:"start"`
	End       int    `json:"end"`
}

func findings(diags hcl.Diagnostics, files map[string]*hcl.File) []Finding {
	list := []Finding{}
	for _, d := range diags {
		f := Finding{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			f.Severity = "warning"
		}
		if x, ok := d.Extra.(lint.Finding); ok {
			f.Code, f.Summary, f.URL = x.Code, x.Summary, lint.PageURL(x.Code)
			if x.Hint {
				f.Severity = "hint"
			}
		}
		if d.Subject != nil {
			f.Place = placeOf(*d.Subject, files[d.Subject.Filename])
		}
		list = append(list, f)
	}
	return list
}

func placeOf(at hcl.Range, file *hcl.File) *Place {
	p := &Place{File: at.Filename, Line: at.Start.Line, Column: at.Start.Column, EndLine: at.End.Line, EndColumn: at.End.Column}
	if file != nil {
		p.Start, p.End = units(file.Bytes, at.Start.Byte), units(file.Bytes, at.End.Byte)
	}
	return p
}

// units is how long the first bytes of a text are in UTF-16.
func units(text []byte, n int) int {
	length := 0
	for _, r := range string(text[:min(max(n, 0), len(text))]) {
		length += utf16.RuneLen(r)
	}
	return length
}
