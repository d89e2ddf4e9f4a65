package schema

import (
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
)

// What the kernel and iptables can hold (NETFILTER.md section 4).
const (
	maxInterface = 15 // bytes of an interface's name, IFNAMSIZ less its end
	maxLogPrefix = 29 // bytes of a log prefix; iptables cuts the rest silently
	maxName      = 63 // bytes of a name, so that every comment stays below 255
)

var (
	goodName      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	goodInterface = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// checkName checks that a name can be used unchanged in a comment, a chain's name
// and a document. Few characters are allowed on purpose: what cannot be written
// cannot be taken for syntax.
func checkName(kind, name string, at hcl.Range) hcl.Diagnostics {
	switch {
	case name == "":
		return hcl.Diagnostics{mistake(at, "A name that does not fit iptables", "A %s needs a name.", kind)}
	case len(name) > maxName:
		return hcl.Diagnostics{mistake(at, "A name that does not fit iptables",
			"The name of this %s has %d bytes; the limit is %d.", kind, len(name), maxName)}
	case !goodName.MatchString(name):
		return hcl.Diagnostics{mistake(at, "A name that does not fit iptables",
			"%[2]q is not a valid name for a %[1]s: it may have letters, digits, \"_\", \"-\" and \".\", and starts with a letter, a digit or \"_\".", kind, name)}
	}
	return nil
}

// parseInterface reads the name of an interface or, with a final +, the start of
// one, as iptables does.
func parseInterface(text string, at hcl.Range) (Interface, *hcl.Diagnostic) {
	name, prefix := strings.CutSuffix(text, "+")
	i := Interface{Name: name, Prefix: prefix, Range: at}
	const summary = "Not an interface"
	switch {
	case i.Every():
		return i, nil
	case len(text) > maxInterface:
		return i, mistake(at, summary, "%q has %d bytes; the name of an interface has at most %d.", text, len(text), maxInterface)
	case !goodInterface.MatchString(name):
		return i, mistake(at, summary, "%q is not the name of an interface: it may have letters, digits, \"_\", \"-\" and \".\", and a \"+\" at its end.", text)
	}
	return i, nil
}

// checkLog checks that a log prefix reaches the kernel unchanged.
func checkLog(prefix string, at hcl.Range) *hcl.Diagnostic {
	const summary = "A log prefix that does not fit iptables"
	switch {
	case prefix == "":
		return mistake(at, summary, "The log prefix is empty. Write one, such as \"pg-denied\", or leave log out.")
	case len(prefix) > maxLogPrefix:
		return mistake(at, summary, "The log prefix has %d bytes; iptables keeps %d and cuts the rest silently.", len(prefix), maxLogPrefix)
	}
	for _, r := range prefix {
		if r < 0x20 || r > 0x7e {
			return mistake(at, summary, "%q contains the character %q; a log prefix must be printable ASCII.", prefix, r)
		}
	}
	return nil
}

// didYouMean suggests the candidate nearest to a mistyped word, in a sentence with
// a space before it; "" when none is near.
func didYouMean(given string, candidates []string) string {
	best := nearest(given, candidates)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// nearest is the candidate that a mistyped word is nearest to, "" where none is near.
func nearest(given string, candidates []string) string {
	best, distance := "", 3
	for _, c := range candidates {
		if d := levenshtein.Distance(given, c, nil); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// keys returns a map's keys in order.
func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// place writes a range as messages do: file:line.
func place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

func duplicate(kind, name string, at, first hcl.Range) *hcl.Diagnostic {
	return mistake(at, "Duplicate name",
		"The %s %q is already defined at %s. Rename or merge one of them.", kind, name, place(first))
}
