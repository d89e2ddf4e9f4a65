package main

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
)

// severity is how much a mistake or a finding matters, in the words of every format.
type severity struct {
	title  string // of a text
	json   string
	github string
	sarif  string
	colour string
}

// The severities.
var (
	isError   = severity{"Error", "error", "error", "error", "31"}
	isWarning = severity{"Warning", "warning", "warning", "warning", "33"}
	isHint    = severity{"Hint", "hint", "notice", "note", "36"}
)

// severityOf is the severity of a diagnostic, of which lint's hints are ones of their own.
func severityOf(d *hcl.Diagnostic) severity {
	if f, ok := d.Extra.(lint.Finding); ok {
		return severityOfFinding(f)
	}
	if d.Severity == hcl.DiagWarning {
		return isWarning
	}
	return isError
}

func severityOfFinding(f lint.Finding) severity {
	if f.Hint {
		return isHint
	}
	return isWarning
}
