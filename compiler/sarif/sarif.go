// Package sarif writes findings as SARIF 2.1.0, the format in which code scanning
// services take them.
package sarif

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Level is how much a result matters.
type Level string

// The levels of SARIF that are used.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Note    Level = "note"
)

// Rule is a kind of result.
type Rule struct {
	ID    string
	Title string
	Help  string // Markdown
	URI   string
	Level Level // as a rule
}

// Place is a place in a file.
type Place struct {
	File         string
	Line, Column int    // from 1; 0 where it is not known
	Text         string // the line, by which the place is known again when it moves
	Message      string // of a related place
}

// Result is one finding.
type Result struct {
	Rule    string
	Level   Level
	Message string
	At      *Place // nil where it has no place
	Related []Place
}

// Write returns the log of one run of a version of Seawall. The rules are those that the
// results may name.
func Write(version string, rules []Rule, results []Result) ([]byte, error) {
	run := runJSON{ColumnKind: "unicodeCodePoints", Results: []resultJSON{}}
	run.Tool.Driver = driverJSON{Name: "Seawall", Version: version, InformationURI: "https://github.com/seawall/seawall", Rules: []ruleJSON{}}
	for _, r := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, ruleJSON{
			ID: r.ID, Short: textJSON{Text: r.Title}, HelpURI: r.URI,
			Help:          &helpJSON{Text: r.Help, Markdown: r.Help},
			Configuration: configurationJSON{Level: r.Level},
		})
	}
	seen := map[string]int{}
	for _, r := range results {
		index := slices.IndexFunc(rules, func(x Rule) bool { return x.ID == r.Rule })
		if index < 0 {
			return nil, fmt.Errorf("a result of %q, which is no rule", r.Rule)
		}
		run.Results = append(run.Results, resultOf(r, index, seen))
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(logJSON{Schema: schemaURI, Version: "2.1.0", Runs: []runJSON{run}})
	return []byte(b.String()), err
}

const schemaURI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

func resultOf(r Result, index int, seen map[string]int) resultJSON {
	out := resultJSON{RuleID: r.Rule, RuleIndex: index, Level: r.Level, Message: textJSON{Text: r.Message}}
	// The same kind of result on the same text is the same one, wherever the line has
	// moved; of several the order counts. A result without a place is known by its text.
	known := r.Rule + "\x00" + r.Message
	if r.At != nil {
		out.Locations = []locationJSON{locationOf(*r.At)}
		known = r.Rule + "\x00" + filepath.ToSlash(r.At.File) + "\x00" + strings.TrimSpace(r.At.Text)
	}
	seen[known]++
	sum := sha256.Sum256([]byte(known))
	out.Fingerprints = map[string]string{"primaryLocationLineHash": fmt.Sprintf("%x:%d", sum[:8], seen[known])}
	for i, p := range r.Related {
		l := locationOf(p)
		l.ID = i + 1
		out.Related = append(out.Related, l)
	}
	return out
}

func locationOf(p Place) locationJSON {
	l := locationJSON{Physical: physicalJSON{Artifact: artifactJSON{URI: uriOf(p.File)}}}
	if p.Line > 0 {
		l.Physical.Region = &regionJSON{StartLine: p.Line, StartColumn: p.Column}
	}
	if p.Message != "" {
		l.Message = &textJSON{Text: p.Message}
	}
	return l
}

// uriOf is a path as a URI: one that is relative stays so.
func uriOf(path string) string {
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
		if !strings.HasPrefix(u.Path, "/") {
			u.Path = "/" + u.Path
		}
	}
	return u.String()
}

// The JSON of SARIF, as far as it is used.
type (
	logJSON struct {
		Schema  string    `json:"$schema"`
		Version string    `json:"version"`
		Runs    []runJSON `json:"runs"`
	}
	runJSON struct {
		Tool struct {
			Driver driverJSON `json:"driver"`
		} `json:"tool"`
		ColumnKind string       `json:"columnKind"`
		Results    []resultJSON `json:"results"`
	}
	driverJSON struct {
		Name           string     `json:"name"`
		Version        string     `json:"version,omitempty"`
		InformationURI string     `json:"informationUri"`
		Rules          []ruleJSON `json:"rules"`
	}
	ruleJSON struct {
		ID            string            `json:"id"`
		Short         textJSON          `json:"shortDescription"`
		Help          *helpJSON         `json:"help"`
		HelpURI       string            `json:"helpUri,omitempty"`
		Configuration configurationJSON `json:"defaultConfiguration"`
	}
	configurationJSON struct {
		Level Level `json:"level"`
	}
	textJSON struct {
		Text string `json:"text"`
	}
	helpJSON struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown"`
	}
	resultJSON struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        Level             `json:"level"`
		Message      textJSON          `json:"message"`
		Locations    []locationJSON    `json:"locations,omitempty"`
		Related      []locationJSON    `json:"relatedLocations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	locationJSON struct {
		ID       int          `json:"id,omitempty"`
		Physical physicalJSON `json:"physicalLocation"`
		Message  *textJSON    `json:"message,omitempty"`
	}
	physicalJSON struct {
		Artifact artifactJSON `json:"artifactLocation"`
		Region   *regionJSON  `json:"region,omitempty"`
	}
	artifactJSON struct {
		URI string `json:"uri"`
	}
	regionJSON struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)
