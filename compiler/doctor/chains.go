package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// chains finds missing chains and rules of Docker, and a jump to DOCKER-USER that does not work.
func (d *doctor) chains(l *docker.Layout) {
	if l.Engine == docker.NoEngine {
		d.notAsked(l)
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

// flushed reports a host that has Docker's chains in the nat table but none in the filter table,
// because something replaced that table.
func (d *doctor) flushed(l *docker.Layout) {
	d.add(Finding{Code: "SD001", Summary: "all of Docker's filter chains are missing", Place: place(l.Tables.Family, "table filter", 0),
		Detail:  "The nat table still rewrites published ports, but the filter table has no rules for them. Something replaced it while Docker was running: a plain iptables-restore, a restart of iptables.service, or a firewall reload.",
		Traffic: []string{"no DOCKER-USER rule applies, and FORWARD's policy decides on published ports and on traffic from containers"},
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

// missingChains prints the commands that recreate a table's chains, with the known rules in them
// and the known rules that jump to them. All chains are created first, because their rules jump
// from one to another.
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
	f := Finding{Code: "SD001", Summary: fmt.Sprintf("Docker's %s missing", what), Place: place(l.Tables.Family, "table "+table, 0),
		Detail: strings.Join(purposes, " ") + " Something deleted it, or flushed the table while Docker was running: find out what did, or it will happen again.",
		Fix:    quoted(fix), Advice: restart + " recreates all of Docker's chains"}
	f.Traffic = d.traffic(l, fix, of...)
	if untold {
		f.Fix, f.Advice = []string{restart}, "" // only the daemon knows which ports or networks they were for
	} else {
		d.carryCommands(l.Tables.Family, fix)
	}
	d.add(f)
}

// words turns commands for the filter table into edits.
func words(list []string) []edit { return wordsFor("filter", list) }

// wordsFor turns commands for one table into edits.
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

// quoted writes commands for a shell.
func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, c := range list {
		w, err := iptables.Words(c)
		if err != nil {
			continue // cannot happen: made from rules that were parsed
		}
		for n := range w {
			w[n] = ShellWord(w[n])
		}
		out[i] = strings.Join(w, " ")
	}
	return out
}

// carry records edits whose commands are printed.
func (d *doctor) carry(f packet.Family, edits []edit) {
	if d.carried == nil {
		d.carried = map[packet.Family][]edit{}
	}
	d.carried[f] = append(d.carried[f], edits...)
}

// carryCommands records commands for all tables.
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

// fixedChains is a family's tables with the fixes of all findings so far.
func (d *doctor) fixedChains(t docker.Tables) docker.Tables {
	if after := edited(t.Filter, t.Family, d.carried[t.Family]); after != nil {
		t.Filter = after
	}
	return t
}

// purpose describes each chain (NETFILTER.md section 7).
var purpose = map[string]string{
	"DOCKER-USER":              "It holds the user's rules and comes first.",
	"DOCKER":                   "It accepts connections to the published ports of each container.",
	"DOCKER-FORWARD":           "It is the entry chain for Docker's networks; without it, no new network can be created.",
	"DOCKER-CT":                "It accepts replies for each bridge.",
	"DOCKER-BRIDGE":            "It sends each bridge's traffic to the DOCKER chain.",
	"DOCKER-INTERNAL":          "It isolates Docker's internal networks.",
	"DOCKER-ISOLATION-STAGE-1": "It isolates Docker's networks from each other.",
	"DOCKER-ISOLATION-STAGE-2": "It isolates Docker's networks from each other.",
	"DOCKER-INGRESS":           "It accepts connections to the published ports of Swarm services.",
}

func (d *doctor) missingRule(l *docker.Layout, e docker.Expected) {
	if e.Untold {
		d.untoldRule(l, e)
		return
	}
	fix := []string{e.Command(command(l.Tables.Family))}
	d.carryCommands(l.Tables.Family, fix)
	d.add(Finding{Code: "SD002", Summary: fmt.Sprintf("a Docker rule is missing: -A %s %s", e.Chain, e.Rule),
		Place:   place(l.Tables.Family, "table "+e.Table+", "+e.Chain, 0),
		Detail:  capital(e.Why) + ".",
		Traffic: d.traffic(l, fix, e), Fix: quoted(fix)})
}

// untoldRule reports a missing rule that the others do not fully determine: they do not tell
// which host port was published, or which subnet a network has.
func (d *doctor) untoldRule(l *docker.Layout, e docker.Expected) {
	traffic := []string{"packets to and from the network's containers"}
	if e.Table != "filter" {
		traffic = trafficElsewhere([]docker.Expected{e})
	}
	d.add(Finding{Code: "SD002", Summary: fmt.Sprintf("a Docker rule is missing from %s: %s", e.Chain, e.Why),
		Place:   place(l.Tables.Family, "table "+e.Table+", "+e.Chain, 0),
		Detail:  "Other rules still refer to it, but not in full; only Docker knows the rest.",
		Traffic: traffic, Fix: []string{restart}})
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
