// Package doctor finds what is wrong with a host's Docker chains, what traffic
// that concerns, and the commands that fix it. It looks at tables alone, so that
// it can be asked about a saved host as well.
//
//	chains.go  SD001, SD002: what belongs to Docker, and is gone
//	jump.go    SD003, SD004: the jump to DOCKER-USER, and what comes before it
//	user.go    SD005 to SD010: rules that people wrote, and that do something else
//	called.go  the chains of people that DOCKER-USER calls
//	rewritten.go SD007 of them: rules that ask for what packets no longer have
//	allowed.go what lets somebody in, whom no fix may shut out
//	cuts.go    SD008 of them: rules that cut answers
//	foreign.go SD015: rules of others among Docker's
//	rerouted.go SD015 in the raw, mangle and nat tables
//	facts.go   SD011 to SD016: what the host says beside its rules
//	notes.go   what a healthy host's owner may want to know
//	traffic.go what a finding changes for packets, by the evaluator
//	fix.go     commands that are proved before they are printed
//	original.go the words of a rule, asked of the original destination
package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
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
	Fix     []string // commands for a shell, as root, in their order after those of the findings before
	Advice  string   // what to do where no command is printed, or beside it
}

// Codes are all findings, by code.
var Codes = []struct{ Code, Title, Why string }{
	{"SD001", "A chain of Docker is gone", "Something has deleted it, or flushed the filter table while Docker ran: a plain iptables-restore, a restart of iptables.service, a firewall's reload."},
	{"SD002", "A rule of Docker is gone", "Each network and each published port has several rules, in several chains; the others still speak of it."},
	{"SD003", "FORWARD jumps to DOCKER-USER more than once", "The rules are walked again for each jump."},
	{"SD004", "A rule before the jump to DOCKER-USER can accept packets", "What it accepts never meets the user's rules."},
	{"SD005", "A published port is open over docker-proxy", "A container network without IPv6 gets no DNAT there: clients end at docker-proxy, in INPUT, past DOCKER-USER. Docker's default has every published port so."},
	{"SD006", "A rule of INPUT is about a published port", "Packets to published ports are rewritten and pass FORWARD, never INPUT."},
	{"SD007", "A rule of DOCKER-USER asks for the published port", "After DNAT packets have the container's port. Only conntrack knows the original one."},
	{"SD008", "A rule of DOCKER-USER cuts answers or outgoing connections", "Both directions of every connection pass here: a rule that keeps a network out also drops its answers to connections that containers opened. A rule about who comes in needs -i and --ctdir ORIGINAL."},
	{"SD009", "Two negated rules deny everybody", "Each drops what the other lets through."},
	{"SD010", "A rule of DOCKER-USER is never met", "A rule before it ends the chain for every packet."},
	{"SD011", "daemon.json keeps Docker from making rules", "Publishing and isolation then stop working unless somebody writes them all."},
	{"SD012", "Both back ends of iptables have rules", "A packet has to pass both, and each command shows one."},
	{"SD013", "Docker uses its nftables back end", "There is no DOCKER-USER then."},
	{"SD014", "The host does not forward IPv4", "No client reaches a container over DNAT."},
	{"SD015", "A rule of others changes what Docker's rules do", "Docker flushes its own chains when it starts, and expects its own rules there alone."},
	{"SD016", "firewalld is active, and DOCKER-USER has rules", "When it reloads, Docker makes its chains again with its own rules before the jump to DOCKER-USER."},
}

// Run looks at a host. A healthy one has no findings.
func Run(ctx context.Context, h *Host, limits prove.Limits) []Finding {
	d := &doctor{ctx: ctx, limits: limits, host: h}
	for _, t := range h.Families {
		d.chains(docker.Look(t))
		d.user(d.fixedChains(t))
	}
	d.proxy()
	d.facts()
	return d.found
}

type doctor struct {
	ctx    context.Context // of the one question that the doctor answers
	limits prove.Limits
	host   *Host
	found  []Finding
	// carried are the edits of the filter tables whose commands are printed.
	carried map[packet.Family][]edit
	// commands are those for all tables that make again what is gone.
	commands map[packet.Family][]string
	// fixed are the filter tables with all fixes but those for docker-proxy.
	fixed map[packet.Family]*iptables.Table
	told  map[string]bool // findings of rules that let somebody in, by code and summary
	// foresees is for a doctor that is asked how the tables would stand with all fixes.
	foresees bool
}

func (d *doctor) add(f Finding) { d.found = append(d.found, f) }

// command is the iptables of a family.
func command(f packet.Family) string {
	if f == packet.IPv6 {
		return "ip6tables"
	}
	return "iptables"
}

func place(f packet.Family, chain string, line int) string {
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
		for n, m := range f.Fix {
			head := "fix    "
			if n > 0 {
				head = "       "
			}
			fmt.Fprintf(&b, "  %s %s\n", head, m)
		}
		if f.Advice != "" {
			fmt.Fprintf(&b, "  to do   %s\n", f.Advice)
		}
	}
	return b.String()
}
