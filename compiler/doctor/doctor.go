// Package doctor finds what is wrong with a host's Docker chains, what traffic
// that concerns, and the commands that mend it. It looks at tables alone, so that
// it can be asked about a saved host as well.
//
//	chains.go  SD001 to SD004: what belongs to Docker, and is gone or misplaced
//	user.go    SD005 to SD010: rules that people wrote, and that do something else
//	facts.go   SD011 to SD016: what the host says beside its rules
//	traffic.go what a finding changes for packets, by the evaluator
package doctor

import (
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/rules"
)

// Host is what is looked at.
type Host struct {
	Families   []docker.Tables
	Interfaces []string // where traffic from outside arrives
	Facts      Facts
}

// Finding is one thing that is wrong.
type Finding struct {
	Code    string
	Summary string
	Detail  string   // why it is wrong
	Place   string   // family, chain and line, "" when there is none
	Traffic []string // what it does to packets now
	Mend    []string // commands, as root
}

// Run looks at a host. A healthy one has no findings.
func Run(h *Host) []Finding {
	d := &doctor{host: h}
	for _, t := range h.Families {
		l := docker.Look(t)
		d.chains(l)
		d.user(l)
		d.input(l)
	}
	d.proxy()
	d.facts()
	return d.found
}

type doctor struct {
	host  *Host
	found []Finding
}

func (d *doctor) add(f Finding) { d.found = append(d.found, f) }

// iptables is the command of a family.
func iptables(f rules.Family) string {
	if f == rules.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

func place(f rules.Family, chain string, line int) string {
	if line == 0 {
		return fmt.Sprintf("IPv%d, %s", f, chain)
	}
	return fmt.Sprintf("IPv%d, %s, line %d", f, chain, line)
}

// restart is what makes all of Docker's chains again.
const restart = "systemctl restart docker"

// Text is the findings for a terminal.
func Text(list []Finding) string {
	var b strings.Builder
	for i, f := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Code, f.Summary)
		if f.Place != "" {
			fmt.Fprintf(&b, "  where   %s\n", f.Place)
		}
		fmt.Fprintf(&b, "  why     %s\n", f.Detail)
		for n, t := range f.Traffic {
			head := "traffic"
			if n > 0 {
				head = "       "
			}
			fmt.Fprintf(&b, "  %s %s\n", head, t)
		}
		for n, m := range f.Mend {
			head := "mend   "
			if n > 0 {
				head = "       "
			}
			fmt.Fprintf(&b, "  %s %s\n", head, m)
		}
	}
	return b.String()
}
