package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/rules"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	p := &policyFlags{}
	var files []string
	var setFile string
	family := 0
	c := &cobra.Command{
		Use:   "verify [PATH] --rules FILE",
		Short: "Decide whether a rules file means a policy",
		Long: `Decide whether a rules file means a policy: exactly, over all packets.

FILE is what iptables-save or ip6tables-save printed, a file for
iptables-restore, seawall.sh, or - for standard input. A file that has FORWARD
or INPUT is judged whole: rules before the jump to DOCKER-USER count, and so
does a jump that is missing. A restore file is judged by its chains.

Where the two differ, the packets are listed, each group with an example, what
the policy says and where, what the file says and which line; and the commands
that show the example's way through both. Exit 0 when they mean the same, 2
when not.`,
		Example: `  iptables-save | seawall verify policy.hcl --rules -
  seawall verify policy.hcl --rules /etc/sysconfig/iptables --rules /etc/sysconfig/ip6tables`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(files) == 0 {
				return fmt.Errorf("which rules? Name a file with --rules, or - for standard input")
			}
			if family != 0 && family != 4 && family != 6 {
				return fmt.Errorf("--family is 4 or 6, not %d", family)
			}
			loaded, err := p.load(c, args)
			if err != nil {
				return err
			}
			sets, err := readSets(setFile)
			if err != nil {
				return err
			}
			return verify(c, loaded.Document, policyPath(args), files, family, sets)
		},
	}
	p.register(c)
	c.Flags().StringArrayVar(&files, "rules", nil, "the rules `FILE`; may be given for each family")
	registerSets(c, &setFile)
	c.Flags().IntVar(&family, "family", 0, "the file's address family, 4 or 6, when it does not show")
	return c
}

func verify(c *cobra.Command, doc *schema.Document, path string, files []string, family int, sets rules.Sets) error {
	differs := false
	for _, name := range files {
		list, err := readRules(c, name, family, sets)
		if err != nil {
			return err
		}
		for _, f := range list {
			result, err := prove.Compare(doc, f.table, f.family)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			if result.Equal() {
				fmt.Fprintf(c.OutOrStdout(), "%s means the policy, for IPv%d.\n", f.name, f.family)
				continue
			}
			differs = true
			printDifferences(c.OutOrStdout(), doc, path, name, f, result)
		}
	}
	if differs {
		return exitCode(exitDiffers)
	}
	return nil
}

func printDifferences(w io.Writer, doc *schema.Document, path, name string, f rulesFile, result *prove.Result) {
	n := count(len(result.Differences)+result.More, "group of packets differs", "groups of packets differ")
	fmt.Fprintf(w, "%s does not mean the policy, for IPv%d: %s.\n", f.name, f.family, n)
	for i, d := range result.Differences {
		policy, file := prove.Explain(doc, d.Example), prove.Trace(f.table, d.Example)
		fmt.Fprintf(w, "\n%d. %s\n", i+1, d)
		fmt.Fprintf(w, "   the policy says %s: %s (%s:%d)\n", d.Policy, policy.Rule, policy.At.Filename, policy.At.Start.Line)
		fmt.Fprintf(w, "   the file says %s: %s\n", d.File, lastStep(file))
		if d.Undecided {
			fmt.Fprintf(w, "   it cannot be decided: %s\n", unsure(file))
		}
		fmt.Fprintf(w, "   for example %s\n", d.Example)
		fmt.Fprintf(w, "   $ seawall explain %s --rules %s %s\n", path, name, packetFlags(d.Example))
	}
	if result.More > 0 {
		fmt.Fprintf(w, "\nand %d more.\n", result.More)
	}
}

// lastStep names the rule that decided a packet's way, or what ended it.
func lastStep(way *prove.Way) string {
	if len(way.Steps) == 0 {
		return way.Ended
	}
	s := way.Steps[len(way.Steps)-1]
	if way.Ended != "" && s.Rule.Target.Name != "RETURN" {
		return way.Ended
	}
	return fmt.Sprintf("line %d: %s", s.Rule.Line, s.Rule.String(s.Chain))
}

// setHint says how a match of an ipset can be decided after all.
func setHint(match string) string {
	if strings.HasPrefix(match, "-m set ") {
		return "\n   what is in the ipset can be named with --ipset (ipset save > FILE)"
	}
	return ""
}

// unsure names the rule whose match Seawall does not know.
func unsure(way *prove.Way) string {
	for _, s := range way.Steps {
		if s.Unsure != "" {
			return fmt.Sprintf("line %d asks for \"%s\", which may hold or not: %s%s", s.Rule.Line, s.Unsure, s.Rule.String(s.Chain), setHint(s.Unsure))
		}
	}
	if n := len(way.Steps); n > 0 {
		s := way.Steps[n-1]
		return fmt.Sprintf("line %d has a target that Seawall does not know: %s", s.Rule.Line, s.Rule.String(s.Chain))
	}
	return "a rule has a match that Seawall does not know"
}
