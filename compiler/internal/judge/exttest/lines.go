// Package exttest makes a judge of the tests that iptables ships with its
// extensions: the files extensions/*.t of its source package.
//
// Each line of such a file is a rule together with the form in which
// iptables-save has to print it, or the word FAIL where iptables has to refuse
// it. Lines reads them, and Saved loads them into a running kernel, in a network
// namespace of its own, and returns what iptables-save really printed. Both are
// independent of the code that they judge: the expectations are those of
// iptables' authors, and the last word is the kernel's.
//
// The files are not part of this repository. They are read from an unpacked
// source package of iptables, which the package's own tests find through the
// environment variable IPTABLES_SOURCE.
package exttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The two back ends of iptables, as Saved takes them.
const (
	NFT    = "nft"
	Legacy = "legacy"
)

// An Outcome is what a test line expects of iptables.
type Outcome string

const (
	// OK means that the rule loads and is saved as expected.
	OK Outcome = "OK"
	// Fail means that the rule is refused.
	Fail Outcome = "FAIL"
	// NoMatch means that the rule loads and is saved in some other form than the
	// expected one.
	NoMatch Outcome = "NOMATCH"
)

// A Line is one test of one file, in one family and one chain: a line of the
// file stands for as many of them as its chains and families are.
type Line struct {
	// File is the base name of the file, such as "libxt_tcp.t".
	File string
	// Number is the number of the line in the file; the first is 1.
	Number int
	// Family is 4 or 6.
	Family int
	// Table is the table of the last "*" line, or "filter".
	Table string
	// Chain is the built-in chain that the rule is appended to.
	Chain string
	// Rule is the rule as written, without "-A" and the chain.
	Rule string
	// Expected is the form in which iptables-save prints the rule, without "-A"
	// and the chain. It is empty where that is the rule as written.
	Expected string
	// Valid reports whether the result column says anything but FAIL. Where
	// Variant is set, it holds for that back end alone: see Want.
	Valid bool
	// Result is the result column.
	Result Outcome
	// Variant is the back end that the result column is limited to, NFT or
	// Legacy; it is empty where the line has no such column.
	Variant string
	// Other is the result column for the other back end. It is empty where the
	// line has none, and Want then follows from Result.
	Other Outcome
	// Upstream reports whether iptables-test.py itself runs the line in this
	// family. It runs the files libxt_*.t with iptables alone, so their lines are
	// no promise for ip6tables: IPv4 addresses in them do not load there.
	Upstream bool
	// External holds the commands of "%" and "@" lines from the beginning of the
	// file to this line, in their order, such as "nfacct add test".
	External []string
}

// Module returns the name of the extension that the file is about: "tcp" for
// libxt_tcp.t. It is empty for iptables.t, whose rules need none.
func (l Line) Module() string {
	_, name, _ := strings.Cut(strings.TrimSuffix(l.File, ".t"), "_")
	return name
}

// String returns the line as an error message names it.
func (l Line) String() string {
	return fmt.Sprintf("%s:%d: IPv%d -t %s -A %s %s", l.File, l.Number, l.Family, l.Table, l.Chain, l.Rule)
}

// Saves returns the rule that iptables-save is expected to print, as in
// "-A INPUT -j ACCEPT". It has no meaning for a line that is to be refused.
func (l Line) Saves() string {
	want := l.Expected
	if want == "" {
		want = l.Rule
	}
	return strings.TrimSpace("-A " + l.Chain + " " + want)
}

// Want returns what the line expects of a back end, as variant_res of
// iptables-test.py derives it: a result that is limited to one back end is
// inverted for the other, unless the line names another result for it.
func (l Line) Want(backend string) Outcome {
	switch {
	case l.Variant == "" || l.Variant == backend:
		return l.Result
	case l.Other != "":
		return l.Other
	case l.Result == OK:
		return Fail
	}
	return OK
}

// Lines reads the extensions/*.t files of an unpacked iptables source package:
// the files of libxt_ and iptables.t for both families, those of libipt_ for
// IPv4 and those of libip6t_ for IPv6. The tests of arptables and ebtables are
// left out.
func Lines(source string) ([]Line, error) {
	names, err := filepath.Glob(filepath.Join(source, "extensions", "*.t"))
	if err != nil {
		return nil, err
	}
	var all []Line
	for _, name := range names {
		for _, fam := range families(filepath.Base(name)) {
			lines, err := readFile(name, fam)
			if err != nil {
				return nil, err
			}
			all = append(all, lines...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no test lines in extensions/*.t", source)
	}
	return all, nil
}

// families returns the families that the rules of a file are about.
func families(file string) []int {
	switch {
	case strings.HasPrefix(file, "libipt_"):
		return []int{4}
	case strings.HasPrefix(file, "libip6t_"):
		return []int{6}
	case strings.HasPrefix(file, "libarpt_"), strings.HasPrefix(file, "libebt_"):
		return nil
	}
	return []int{4, 6}
}

// readFile reads the lines of one file for one family.
func readFile(name string, family int) ([]Line, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p := parser{
		current: Line{
			File:     filepath.Base(name),
			Family:   family,
			Table:    "filter",
			Upstream: family == 4 || strings.HasPrefix(filepath.Base(name), "libip6t_"),
		},
	}
	for i, s := range strings.Split(string(text), "\n") {
		p.current.Number = i + 1
		if err := p.line(s); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return p.lines, nil
}

// A parser holds the state of a file: the chains and what every line shares.
type parser struct {
	current Line
	chains  []string
	lines   []Line
}

// line reads one line. The meaning of a line depends on its first byte, so a
// comment or a command with a blank before it is a rule.
func (p *parser) line(s string) error {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	rest := strings.TrimRight(s[1:], " \t\r")
	switch s[0] {
	case '#':
	case ':':
		p.chains = strings.Split(rest, ",")
	case '*':
		p.current.Table = rest
	case '%', '@':
		old := p.current.External
		p.current.External = append(old[:len(old):len(old)], rest)
	default:
		return p.rule(s)
	}
	return nil
}

// rule reads a line "rule;expected;result", which may go on with
// ";variant" and ";other result".
func (p *parser) rule(s string) error {
	fields := strings.Split(s, ";")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(fields) < 3 || len(fields) > 5 {
		return fmt.Errorf("%d fields, not 3 to 5", len(fields))
	}
	if len(p.chains) == 0 {
		return fmt.Errorf("a rule before the first line of chains")
	}
	l := p.current
	l.Rule = fields[0]
	if fields[1] != "=" {
		l.Expected = fields[1]
	}
	if err := l.outcomes(fields[2:]); err != nil {
		return err
	}
	if fields[1] == "" && l.Result != Fail {
		return fmt.Errorf("result %s without an expected form", l.Result)
	}
	for _, l.Chain = range p.chains {
		p.lines = append(p.lines, l)
	}
	return nil
}

// outcomes sets what the result columns say.
func (l *Line) outcomes(columns []string) error {
	var err error
	if l.Result, err = outcome(columns[0]); err != nil {
		return err
	}
	l.Valid = l.Result != Fail
	if len(columns) > 1 {
		l.Variant = strings.ToLower(columns[1])
		if l.Variant != NFT && l.Variant != Legacy {
			return fmt.Errorf("%q is not a back end", columns[1])
		}
	}
	if len(columns) > 2 {
		l.Other, err = outcome(columns[2])
	}
	return err
}

// outcome returns a result column as an Outcome.
func outcome(s string) (Outcome, error) {
	switch o := Outcome(s); o {
	case OK, Fail, NoMatch:
		return o, nil
	}
	return "", fmt.Errorf("%q is not a result", s)
}
