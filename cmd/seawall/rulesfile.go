package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/spf13/cobra"
)

// rulesFile is one family's rules out of a file that the user named.
type rulesFile struct {
	name   string
	family rules.Family
	table  *rules.Table // the filter table, nil when the file has none
}

// readRules reads a rules file: iptables-save text, a file for
// iptables-restore, or Seawall's script, which has both families. Family 0
// finds out the file's own.
func readRules(c *cobra.Command, name string, family int, sets rules.Sets) ([]rulesFile, error) {
	src, shown, err := readInput(c, name)
	if err != nil {
		return nil, err
	}
	return rulesOf(shown, src, family, sets)
}

// readSets reads the ipsets that rules ask for; none without a file. It is what
// ipset save printed, or a file for ipset restore.
func readSets(name string) (rules.Sets, error) {
	if name == "" {
		return nil, nil
	}
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--ipset: %w", err)
	}
	return parseSets(name, src)
}

func parseSets(name string, src []byte) (rules.Sets, error) {
	sets, err := rules.ParseSets(src)
	var e *rules.Error
	if errors.As(err, &e) {
		return nil, fmt.Errorf("%s:%d: %s\n\n  %d: %s", name, e.Line, e.Detail, e.Line, strings.TrimRight(e.Text, "\r"))
	}
	return sets, err
}

// registerSets adds the flag --ipset.
func registerSets(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "ipset", "", "the ipsets that the rules ask for: a `FILE` of ipset save, or for ipset restore")
}

// rulesOf reads the text of a rules file. A script has its own sets with it.
func rulesOf(shown string, src []byte, family int, sets rules.Sets) ([]rulesFile, error) {
	if bytes.HasPrefix(src, []byte("#!")) {
		var list []rulesFile
		if text := emit.SetsOf([]emit.File{{Bytes: src, Executable: true}}); text != nil {
			var err error
			if sets, err = parseSets(shown, text); err != nil {
				return nil, err
			}
		}
		for _, f := range []rules.Family{rules.IPv4, rules.IPv6} {
			text, err := emit.Rules(emit.File{Bytes: src, Executable: true}, f)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", shown, err)
			}
			if family != 0 && rules.Family(family) != f {
				continue
			}
			table, err := parseRules(shown, text, sets)
			if err != nil {
				return nil, err
			}
			list = append(list, rulesFile{shown, f, table})
		}
		return list, nil
	}
	table, err := parseRules(shown, src, sets)
	if err != nil {
		return nil, err
	}
	f := rules.Family(family)
	if f == 0 {
		f = rules.GuessFamily(filepath.Base(shown), src)
	}
	return []rulesFile{{shown, f, table}}, nil
}

func readInput(c *cobra.Command, name string) (src []byte, shown string, err error) {
	if name == "-" {
		src, err = io.ReadAll(c.InOrStdin())
		return src, "standard input", err
	}
	src, err = os.ReadFile(name)
	return src, name, err
}

func parseRules(name string, src []byte, sets rules.Sets) (*rules.Table, error) {
	f, err := rules.Parse(src)
	var e *rules.Error
	if errors.As(err, &e) {
		return nil, fmt.Errorf("%s:%d: %s\n\n  %d: %s", name, e.Line, e.Detail, e.Line, strings.TrimRight(e.Text, "\r"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	table := f.Table("filter")
	if table != nil {
		table.Sets = sets
	}
	return table, nil
}
