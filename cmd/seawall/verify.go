package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/explain"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	p := &policyFlags{}
	r := &rulesFlags{}
	var files []string
	format, allow := "", false
	c := &cobra.Command{
		Use:   "verify [PATH] --rules FILE",
		Short: "Decide whether a rules file implements a policy",
		Long: `Decide whether a rules file implements a policy: exactly, over all packets.

FILE is what iptables-save, ip6tables-save or nft list ruleset printed, a file for
iptables-restore or nft -f, seawall.sh, or - for standard input. A file that has FORWARD
or INPUT is judged whole: rules before the jump to DOCKER-USER count, and so
does a jump that is missing. A restore file is judged by its chains.

Where the two differ, each rule of the file that makes a difference, or the lack
of one, is listed, the worst first: whom it lets in or keeps out of which ports,
what the policy says and where, what the file says and which line, an example,
and the command that shows its way through both. Exit 0 when they mean the same,
2 when they differ or when that cannot be decided.

` + allowStricter + `
What is stricter is then summarized in a line, and the exit code is 0.`,
		Example: `  iptables-save | seawall verify policy.hcl --rules -
  iptables-save | seawall verify policy.hcl --rules - --allow-stricter
  seawall verify policy.hcl --rules /etc/sysconfig/iptables --rules /etc/sysconfig/ip6tables`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			if len(files) == 0 {
				return fmt.Errorf("name the rules with --rules FILE, or - for standard input")
			}
			if err := textOrSARIF(format); err != nil {
				return err
			}
			loaded, err := p.load(c, args)
			if err != nil {
				return err
			}
			if format == "sarif" {
				return verifySARIF(c, loaded, files, r, allow)
			}
			return verify(c, loaded, policyPath(args), files, r, allow)
		},
	}
	p.register(c)
	c.Flags().StringArrayVar(&files, "rules", nil, "the rules `FILE`; may be given for each family")
	r.register(c)
	registerStricter(c, &allow)
	c.Flags().StringVar(&format, "format", "text", "text or sarif")
	choices(c, "format", "text", "sarif")
	return c
}

func verify(c *cobra.Command, loaded *schema.Loaded, path string, files []string, flags *rulesFlags, allow bool) error {
	differs := false
	for _, name := range files {
		list, err := flags.read(c, name)
		if err != nil {
			return err
		}
		for _, f := range list {
			if f.NFT != nil {
				if err := fits(c, loaded, emit.NFTables); err != nil {
					return err
				}
			}
			result, err := compiler.Verify(c.Context(), loaded.Document, f, prove.Limits{})
			var hard *prove.HardError
			switch {
			case errors.As(err, &hard):
				differs = true
				fmt.Fprintf(c.OutOrStdout(), "%s: undecided, for %v: %v.\n", f.Name, f.Family(), hard)
				continue
			case err != nil:
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			var stricter []*prove.Difference
			if allow {
				stricter, result.Differences = result.Split()
			}
			switch {
			case result.Result.Equal() && len(result.Unknown) > 0:
				differs = true
				printUnknown(c.OutOrStdout(), f, result.Unknown)
			case result.Equal():
				if len(stricter) == 0 {
					fmt.Fprintf(c.OutOrStdout(), "%s implements the policy, for %v.\n", f.Name, f.Family())
				} else {
					fmt.Fprintf(c.OutOrStdout(), "%s opens nothing that the policy denies, for %v.\n", f.Name, f.Family())
				}
			default:
				differs = true
				printDifferences(c.OutOrStdout(), path, name, f, result.Result)
				if len(result.Unknown) > 0 {
					fmt.Fprintln(c.OutOrStdout(), "\nWhat is more, iptables-restore may refuse the file:")
					printLines(c.OutOrStdout(), result.Unknown)
				}
			}
			if len(stricter) > 0 {
				fmt.Fprintf(c.OutOrStdout(), "Stricter than the policy: %s.\n", briefly(stricter))
			}
			printUnjudged(c.OutOrStdout(), result.Unjudged)
		}
	}
	if differs {
		return exitCode(exitDiffers)
	}
	return nil
}

// printUnknown is for rules that would implement the policy if the file loads.
func printUnknown(w io.Writer, f *compiler.Rules, list []string) {
	fmt.Fprintf(w, "%s: undecided, for %v: iptables-restore may refuse the file. Where it loads, it implements the policy:\n", f.Name, f.Family())
	printLines(w, list)
}

func printLines(w io.Writer, list []string) {
	for _, text := range list {
		fmt.Fprintf(w, "  %s\n", text)
	}
}

// printUnjudged says what the answer does not cover.
func printUnjudged(w io.Writer, list []string) {
	const most = 8
	for i, text := range list {
		if i == 0 {
			fmt.Fprintln(w, "Not judged:")
		}
		if i == most {
			fmt.Fprintf(w, "  and %d more\n", len(list)-i)
			return
		}
		fmt.Fprintf(w, "  %s\n", text)
	}
}

// What verify prints of one file at most.
const (
	mostDifferences = 20
	mostLines       = 8 // of the policy, for one difference
)

func printDifferences(w io.Writer, path, name string, f *compiler.Rules, result *prove.Result) {
	n := len(result.Differences)
	fmt.Fprintf(w, "%s does not implement the policy, for %v: %s.\n", f.Name, f.Family(), count(n, "difference", "differences"))
	for i, d := range result.Differences {
		if i == mostDifferences {
			fmt.Fprintf(w, "\nand %d more.\n", n-i)
			return
		}
		fmt.Fprintf(w, "\n%d. %s:\n", i+1, what(d))
		for j, l := range d.Lines {
			if j == mostLines {
				fmt.Fprintf(w, "   and packets about which %s of the policy\n", count(len(d.Lines)-j, "more line decides", "more lines decide"))
				break
			}
			printLine(w, l)
		}
		fmt.Fprintf(w, "   the file says %s: %s\n", d.File, lastStep(d.Way))
		if d.Undecided() {
			fmt.Fprintf(w, "   it cannot be decided: %s\n", unsure(d.Way))
		}
		fmt.Fprintf(w, "   for example %s\n", d.Example)
		fmt.Fprintf(w, "   $ %sseawall explain %s --rules %s %s\n", saved(name, f), doctor.ShellWord(path), doctor.ShellWord(name), explain.Flags(d.Example, doctor.ShellWord))
	}
}

// what says what is wrong with the file about some packets.
func what(d *prove.Difference) string {
	switch d.Kind {
	case prove.OpensNew:
		return "Open, but the policy denies it"
	case prove.OpensOld:
		return "Open for packets that the policy denies, but not for new connections"
	case prove.ClosesNew:
		return "Closed, but the policy allows it"
	case prove.ClosesOld:
		return "Closed for packets that the policy allows, but not for new connections"
	case prove.Unsure:
		return "It cannot be decided what the file does with these"
	case prove.Oddity:
		return "Only packets that belong to no connection, or are errors about one"
	}
	switch {
	case d.File == packet.Accept:
		return "Accepted, bypassing Docker's own rules, which the policy leaves in charge"
	case d.File == packet.Pass:
		return "Left to Docker's own rules, but the policy accepts it"
	case d.File.IsOpen():
		return "Let through, but whether past Docker's own rules cannot be decided"
	}
	return "Denied, but with another answer than the policy's"
}

// printLine prints the packets about which one line of the policy decides.
func printLine(w io.Writer, l *prove.Line) {
	const most = 6
	for i, c := range l.Clauses {
		if i == most {
			fmt.Fprintf(w, "   and %d more\n", len(l.Clauses)-i)
			break
		}
		fmt.Fprintf(w, "   %s\n", c)
	}
	fmt.Fprintf(w, "     the policy says %s: %s (%s:%d)\n", l.Policy, l.Rule, l.At.Filename, l.At.Start.Line)
}

// lastStep names the rule that decided a packet's way, or what ended it.
func lastStep(way *dialect.Way) string {
	s := way.Decider()
	if s == nil {
		return way.Ended + jumpHint(way.Ended)
	}
	return fmt.Sprintf("line %d: %s", s.Line, s.Rule)
}

// jumpHint says who makes the jump from FORWARD where it is missing.
func jumpHint(ended string) string {
	if strings.HasPrefix(ended, "FORWARD has no jump to ") {
		return ", which Docker makes when it starts, if it has rules of that family"
	}
	return ""
}

// saved is the command that prints the rules again which came over standard input.
func saved(name string, f *compiler.Rules) string {
	switch {
	case name != "-":
		return ""
	case f.NFT != nil:
		return "nft list ruleset | "
	case f.Family() == packet.IPv6:
		return "ip6tables-save | "
	}
	return "iptables-save | "
}

// setHint says how a match of an ipset can be decided after all.
func setHint(match string) string {
	if strings.HasPrefix(match, "-m set ") {
		return "\n   what is in the ipset can be named with --ipset (ipset save > FILE)"
	}
	return ""
}

// unsure names the rule that cannot be evaluated, and the words of it.
func unsure(way *dialect.Way) string {
	s := way.Unsure()
	if s == nil {
		return "a rule has words that cannot be evaluated"
	}
	return fmt.Sprintf("line %d has \"%s\", which cannot be evaluated: %s%s", s.Line, s.Unsure, s.Rule, setHint(s.Unsure))
}
