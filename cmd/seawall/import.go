package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

func importCommand() *cobra.Command {
	r := &rulesFlags{}
	var in []string
	c := &cobra.Command{
		Use:   "import FILE [FILE]",
		Short: "Write a DOCKER-USER chain, or a table of nftables, as a policy, proved against it",
		Long: `Write existing rules as a policy, to standard output. FILE is what iptables-save printed, a boot file, ufw's after.rules, or a file that Seawall
wrote: then the chain DOCKER-USER is imported and, where the file has it,
SEAWALL-INPUT. With a second file both families are imported into one policy.

Or FILE is a file for nft -f, or what nft list ruleset printed, also with -j. It
has both families. Seawall's table is imported, where it is there; if not, the base
chains of the hook forward of every table that is neither Docker's nor iptables', in
the order of their priorities, and DOCKER-USER as nft lists it. A chain of the hook
input is imported if it closes published ports, where docker-proxy listens, and does
nothing else. Otherwise it is the host's own, and a note says that it was left out.

Rules that match the container's port or address (--dport 80, -d 172.17.0.2, or
tcp dport 80) see packets after DNAT, and a policy names published ports. Docker's
nat rules in the same file say which is which, so give the whole output of
iptables-save, without -t filter, or of nft list ruleset.

The policy is proved against the rules. Standard error states what is proved: that
all packets are treated alike, or all connections, or those to published ports.
Everything that differs is listed there, with an example and the line of the file;
what the policy would open comes first. Exit 0 if every connection is treated alike,
and of packets that belong to no connection the policy at most denies more; exit 2
otherwise.`,
		Example: `  iptables-save > v4; ip6tables-save > v6
  seawall import v4 v6 > policy.hcl
  seawall import /etc/ufw/after.rules --in ens3
  seawall import v4 --in eth0,eth1
  nft list ruleset | seawall import -`,
		Args: between(1, 2, "a FILE, or one of each family"),
		RunE: func(c *cobra.Command, args []string) error {
			chains, err := readChains(c, r, args)
			if err != nil {
				return err
			}
			var names []string
			for _, name := range in {
				names = append(names, strings.TrimSuffix(name, "+")) // a policy takes eth+
			}
			if err := checkInterfaces(names); err != nil {
				return err
			}
			result, err := importer.Import(c.Context(), chains, in, prove.Limits{})
			if err != nil {
				return importError(err)
			}
			if _, err := c.OutOrStdout().Write(result.Policy); err != nil {
				return err
			}
			writeProved(c.ErrOrStderr(), chains, result)
			if !result.Equal() && !result.Safe() {
				return exitCode(exitDiffers)
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&in, "in", nil, "an `INTERFACE` on which traffic from outside arrives; may be repeated (default the one that the rules are about)")
	r.register(c)
	return c
}

// readChains reads the files, one of each family.
func readChains(c *cobra.Command, r *rulesFlags, args []string) ([]importer.Chain, error) {
	var chains []importer.Chain
	nft := false
	for _, name := range args {
		list, err := r.read(c, name)
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			nft = nft || f.NFT != nil
			if f.NFT != nil && !importer.HasRules(f.NFT, f.Family()) {
				continue
			}
			if slices.ContainsFunc(chains, func(c importer.Chain) bool { return c.Family == f.Family() }) {
				return nil, fmt.Errorf("%s is the second file for %v; name one file per family", f.Name, f.Family())
			}
			if f.NFT != nil {
				chains = append(chains, importer.Chain{Family: f.Family(), Name: f.Name, NFT: f.NFT, Source: f.NFT.Source})
				continue
			}
			if f.Table == nil && len(args) > 1 {
				fmt.Fprintf(c.ErrOrStderr(), "Note: %s has no filter table; %v is not imported.\n", f.Name, f.Family())
				continue
			}
			if f.Table == nil {
				return nil, fmt.Errorf("%s has no filter table, so no DOCKER-USER; iptables-save prints every table", f.Name)
			}
			chains = append(chains, importer.Chain{Family: f.Family(), Name: f.Name, Table: f.Table,
				Nat: f.File.Table("nat"), Raw: f.File.Table("raw"), Source: f.File.Source})
		}
	}
	switch {
	case len(chains) > 0:
	case nft:
		return nil, fmt.Errorf("%s has no rules to import: no chain of the hook forward but Docker's and iptables', and no DOCKER-USER; use the output of nft list ruleset", strings.Join(args, " and "))
	default:
		return nil, fmt.Errorf("none of the files has a filter table, so there is no DOCKER-USER; use the output of iptables-save")
	}
	return chains, nil
}

// importError says what to do about an error.
func importError(err error) error {
	if unclear, ok := errors.AsType[*importer.InterfaceError](err); ok {
		return fmt.Errorf("%w\n\nName it with --in, for example --in eth0", unclear)
	}
	return err
}

// writeProved says what is proved, and lists what differs.
func writeProved(w io.Writer, chains []importer.Chain, r *importer.Result) {
	for _, note := range r.Notes {
		fmt.Fprintf(w, "Note: %s.\n", note)
	}
	what := "the chain"
	if chains[0].NFT != nil {
		what = r.Title
	}
	fmt.Fprintf(w, claims[r.Scope()], what, ofFamilies(chains)+" packets", bounds(chains, r))
	if r.Host {
		fmt.Fprint(w, " Where the policy passes and the chain accepts, or the other way round, Docker's own rules decide alike.")
	}
	fmt.Fprintf(w, "%s\n", noOther(chains))
	list := &missingList{Writer: w, rules: "chain"}
	if chains[0].NFT != nil {
		list.rules = "rules"
	}
	switch {
	case r.Equal():
	case r.Scope() == importer.NoScope:
		list.write(r)
	default:
		fmt.Fprintln(w, "\nThese packets are treated differently:")
		list.write(r)
	}
}

// claims are what is proved in each scope: of what, over which packets, within which bounds.
var claims = map[importer.Scope]string{
	importer.AllPackets:     "The policy implements %s: proved over all %s%s.",
	importer.AllConnections: "The policy lets in the same connections as %s: proved over all %s in the original direction of connections%s.",
	importer.PublishedPorts: "The policy lets in the same connections to published ports as %s: proved over all %s that open them%s.",
	importer.NoScope:        "The policy implements part of %s: proved over all %s%s, except for the following.",
}

// bounds is what the claim is bound to.
func bounds(chains []importer.Chain, r *importer.Result) string {
	switch {
	case r.Nat && chains[0].NFT != nil:
		return " that Docker's nat rules in the file allow"
	case r.Nat:
		return " that the nat table of the file allows"
	}
	return ""
}

func ofFamilies(chains []importer.Chain) string {
	if len(chains) > 1 {
		return "IPv4 and IPv6"
	}
	return chains[0].Family.String()
}

// noOther says of a family without a file that the policy was written without it.
func noOther(chains []importer.Chain) string {
	if len(chains) > 1 {
		return ""
	}
	other := packet.IPv4 + packet.IPv6 - chains[0].Family
	return fmt.Sprintf(" No rules for %v were given: their sources are not in it.", other)
}

// mostMissing is how many differences are listed.
const mostMissing = 12

// kinds says what a difference comes to.
var kinds = map[importer.Kind]string{
	importer.Opens:     "the policy would open",
	importer.Undecided: "not in the policy, because a rule cannot be evaluated",
	importer.Closes:    "the policy would close",
	importer.Otherwise: "a different verdict",
}

// missingList writes what differs.
type missingList struct {
	io.Writer
	rules string // as verdicts call them
}

func (w *missingList) write(r *importer.Result) {
	for i, d := range r.Missing {
		if i == mostMissing {
			fmt.Fprintf(w, "\nand %d more.\n", len(r.Missing)-i)
			break
		}
		w.one(i+1, d)
	}
	if len(r.Missing) > 0 && len(r.Lost) > 0 {
		fmt.Fprintln(w)
	}
	for _, x := range r.Lost {
		fmt.Fprintf(w, "%s: %s\n   %s\n", x.Place, printable(x.Rule), x.Why)
	}
	if r.Accepted > 0 {
		fmt.Fprintf(w, "%s accepted past Docker's own rules, where the policy passes them on to those rules. The file does not contain Docker's chains, which would show whether that makes a difference.\n",
			count(r.Accepted, "kind of packets is", "kinds of packets are"))
	}
}

func (w *missingList) one(n int, d *importer.Missing) {
	place := d.Place
	if place != "" {
		place += ": "
	}
	fmt.Fprintf(w, "\n%d. %s%s\n   %s: %v, %s\n", n, place, printable(d.Rule), kinds[d.Kind], d.Family, d.About)
	if d.Kind == importer.Undecided {
		fmt.Fprintf(w, "   Seawall cannot evaluate \"%s\"%s%s\n", printable(d.Words), chainHint(d.Words), setHint(d.Words))
	} else {
		fmt.Fprintf(w, "   verdict: %s in the %s, %s in the policy\n", d.File, w.rules, d.Policy)
	}
	if text := fieldsText(d.Fields); text != "" {
		fmt.Fprintf(w, "   %s%s\n", text, more(d.More))
	}
	fmt.Fprintf(w, "   for example %s\n", d.Example)
}

// chainHint says what is missing for a jump to a chain that the file does not have.
func chainHint(words string) string {
	name, jumps := strings.CutPrefix(words, "-j ")
	if jumps && !strings.Contains(name, " ") && name != strings.ToUpper(name) { // a target of iptables is upper case
		return ": the file has no chain of that name. Pass the whole output of iptables-save"
	}
	return ""
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; and %s", count(n, "more kind of packets", "more kinds of packets"))
}

// fieldsText is what binds packets, in one line.
func fieldsText(fields []packet.Field) string {
	var list []string
	for _, f := range fields {
		list = append(list, f.Name+" "+packet.Shorten(f.Values))
	}
	return strings.Join(list, "; ")
}
