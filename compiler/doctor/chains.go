package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// chains finds chains and rules of Docker that are gone, and a jump to
// DOCKER-USER that does not do its work.
func (d *doctor) chains(l *docker.Layout) {
	if l.Engine == docker.NoEngine {
		return
	}
	if l.Engine == docker.Flushed {
		d.flushed(l)
		return
	}
	t := l.Tables
	chains, expected := l.Expected()
	gone := map[string]bool{}
	for _, table := range []string{"filter", "nat"} {
		var names []string
		for _, name := range chains[table] {
			if t.Chain(table, name) == nil {
				gone[table+" "+name] = true
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			d.missingChains(l, table, names, expected)
		}
	}
	for _, e := range expected {
		if !l.Has(e) && !gone[e.Table+" "+e.Chain] && !leadsToGone(e, gone) {
			d.missingRule(l, e)
		}
	}
	d.userJump(l)
	d.foreign(l)
	d.accepted(l)
	d.rerouted(l)
}

// flushed is a host of whose chains the nat table has Docker's, and the filter table
// none: something has replaced it.
func (d *doctor) flushed(l *docker.Layout) {
	d.add(Finding{Code: "SD001", Summary: "Docker's filter chains are all gone", Place: place(l.Tables.Family, "table filter", 0),
		Detail:  "The nat table still rewrites published ports, but nothing in the filter table decides about them. Something has replaced it while Docker ran: a plain iptables-restore, a restart of iptables.service, a firewall's reload.",
		Traffic: []string{"no rule of DOCKER-USER acts, and FORWARD's policy decides about published ports and what containers send"},
		Fix:     []string{restart}})
}

func leadsToGone(e docker.Expected, gone map[string]bool) bool {
	for key := range gone {
		table, name, _ := strings.Cut(key, " ")
		if e.Table == table && strings.HasSuffix(e.Rule, "-j "+name) {
			return true
		}
	}
	return false
}

// missingChains gives the commands that make a table's chains again, with what is known
// of their rules and of those that lead to them. All chains are made first, for their
// rules lead from one to another.
func (d *doctor) missingChains(l *docker.Layout, table string, names []string, expected []docker.Expected) {
	tables := command(l.Tables.Family)
	option := ""
	if table != "filter" {
		option = " -t " + table
	}
	var fix, purposes []string
	for _, name := range names {
		fix = append(fix, fmt.Sprintf("%s%s -N %s", tables, option, name))
		if !slices.Contains(purposes, purpose[name]) {
			purposes = append(purposes, purpose[name])
		}
	}
	var of []docker.Expected
	untold := false
	for _, e := range expected {
		made := slices.Contains(names, e.Chain)
		leads := slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(e.Rule, "-j "+name) })
		if e.Table == table && (made || leads && !l.Has(e) && l.Tables.Chain(table, e.Chain) != nil) {
			of, untold = append(of, e), untold || e.Untold
			fix = append(fix, e.Command(tables))
		}
	}
	what := "chain " + names[0] + " is"
	if len(names) > 1 {
		what = "chains " + list(names) + " are"
	}
	f := Finding{Code: "SD001", Summary: fmt.Sprintf("Docker's %s gone", what), Place: place(l.Tables.Family, "table "+table, 0),
		Detail: strings.Join(purposes, " ") + " Something has deleted it, or flushed the table while Docker ran: that has to be found, or it comes back.",
		Fix:    quoted(fix), Advice: restart + " makes all of Docker's chains again"}
	f.Traffic = d.traffic(l, fix, of...)
	if untold {
		f.Fix, f.Advice = []string{restart}, "" // which ports or networks they were, the daemon alone knows
	} else {
		d.carryCommands(l.Tables.Family, fix)
	}
	d.add(f)
}

// words are commands for the filter table as edits.
func words(list []string) []edit { return wordsFor("filter", list) }

// wordsFor are commands for one table as edits.
func wordsFor(table string, list []string) []edit {
	var edits []edit
	for _, c := range list {
		w, err := iptables.Words(c)
		if err != nil || len(w) < 2 {
			continue
		}
		own, e := "filter", w[1:]
		if e[0] == "-t" && len(e) > 2 {
			own, e = e[1], e[2:]
		}
		if own == table {
			edits = append(edits, e)
		}
	}
	return edits
}

// quoted are commands as a shell reads them.
func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, c := range list {
		w, err := iptables.Words(c)
		if err != nil {
			continue // made of rules that were read
		}
		for n := range w {
			w[n] = ShellWord(w[n])
		}
		out[i] = strings.Join(w, " ")
	}
	return out
}

// carry remembers edits whose commands are printed.
func (d *doctor) carry(f packet.Family, edits []edit) {
	if d.carried == nil {
		d.carried = map[packet.Family][]edit{}
	}
	d.carried[f] = append(d.carried[f], edits...)
}

// carryCommands remembers commands for all tables.
func (d *doctor) carryCommands(f packet.Family, list []string) {
	d.carry(f, words(list))
	if d.commands == nil {
		d.commands = map[packet.Family][]string{}
	}
	d.commands[f] = append(d.commands[f], list...)
}

// fixedTables is fixedChains for the other tables as well.
func (d *doctor) fixedTables(t docker.Tables) docker.Tables {
	for _, table := range []**iptables.Table{&t.Nat, &t.Mangle, &t.Raw} {
		if *table == nil {
			continue
		}
		if after := edited(*table, t.Family, wordsFor((*table).Name, d.commands[t.Family])); after != nil {
			*table = after
		}
	}
	return d.fixedChains(t)
}

// fixedChains is a family's tables with the fixes of what was found in it so far.
func (d *doctor) fixedChains(t docker.Tables) docker.Tables {
	if after := edited(t.Filter, t.Family, d.carried[t.Family]); after != nil {
		t.Filter = after
	}
	return t
}

// purpose is what each chain is for (NETFILTER.md section 7).
var purpose = map[string]string{
	"DOCKER-USER":              "It has the user's rules, first of all.",
	"DOCKER":                   "It has the published ports of each container.",
	"DOCKER-FORWARD":           "It is the first stage for Docker's networks; without it no new network comes up.",
	"DOCKER-CT":                "It lets answers in, for each bridge.",
	"DOCKER-BRIDGE":            "It leads to the published ports of each bridge.",
	"DOCKER-INTERNAL":          "It keeps Docker's networks apart.",
	"DOCKER-ISOLATION-STAGE-1": "It keeps Docker's networks apart.",
	"DOCKER-ISOLATION-STAGE-2": "It keeps Docker's networks apart.",
	"DOCKER-INGRESS":           "It has the published ports of swarm.",
}

func (d *doctor) missingRule(l *docker.Layout, e docker.Expected) {
	if e.Untold {
		d.untoldRule(l, e)
		return
	}
	fix := []string{e.Command(command(l.Tables.Family))}
	d.carryCommands(l.Tables.Family, fix)
	d.add(Finding{Code: "SD002", Summary: fmt.Sprintf("a rule of Docker is gone: -A %s %s", e.Chain, e.Rule),
		Place:   place(l.Tables.Family, "table "+e.Table+", "+e.Chain, 0),
		Detail:  capital(e.Why) + ".",
		Traffic: d.traffic(l, fix, e), Fix: quoted(fix)})
}

// untoldRule is a rule that is gone, and of which the others do not tell every word:
// which port of the host was published, which subnet a network has.
func (d *doctor) untoldRule(l *docker.Layout, e docker.Expected) {
	traffic := []string{"packets to and from the network's containers"}
	if e.Table != "filter" {
		traffic = trafficElsewhere([]docker.Expected{e})
	}
	d.add(Finding{Code: "SD002", Summary: fmt.Sprintf("a rule of Docker is gone from %s: %s", e.Chain, e.Why),
		Place:   place(l.Tables.Family, "table "+e.Table+", "+e.Chain, 0),
		Detail:  "Other rules still speak of it, but not in full; only Docker knows the rest.",
		Traffic: traffic, Fix: []string{restart}})
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
