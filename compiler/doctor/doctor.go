// Package doctor finds what is wrong with a host's Docker chains, which traffic it affects, and
// the commands that fix it. It looks only at tables, so it can examine a saved host as well.
//
//	chains.go  SD001, SD002: missing chains and rules of Docker
//	jump.go    SD003, SD004: the jump to DOCKER-USER, and the rules before it
//	user.go    SD005 to SD010: users' rules that do not do what they were meant to do
//	called.go  users' chains that DOCKER-USER calls
//	rewritten.go SD007: rules that match what DNAT has already rewritten
//	allowed.go rules that let clients in, whom no fix may lock out
//	cuts.go    SD008: rules that cut replies
//	foreign.go SD015: foreign rules among Docker's
//	rerouted.go SD015 in the raw, mangle and nat tables
//	facts.go   SD011 to SD016: facts about the host other than its rules
//	nftables.go SD001, SD002, SD013 and SD017: tables of nft, Docker's and others
//	seawall.go SD018: the table inet seawall
//	suits.go   which format suits a host
//	persistent.go SD020: what netfilter-persistent's files do at its next start
//	ufw.go     SD019: what ufw's files do at its next start
//	neighbours.go other software with rules on Docker hosts, as notes
//	notes.go   notes for the owner of a healthy host
//	traffic.go how a finding affects packets, computed by the evaluator
//	fix.go     fixes, proved before they are printed
//	original.go a rule rewritten to match the original destination
package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/netfilter"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Host is the host to examine.
type Host struct {
	Families   []docker.Tables
	Interfaces []string // where outside traffic arrives
	Facts      Facts
}

// Finding is one problem.
type Finding struct {
	Code    string
	Summary string
	Detail  string   // why it is wrong
	Place   string   // family, chain and line; "" if there is none
	Traffic []string // how it affects packets now
	Fix     []string // shell commands, to run as root, in order, after those of earlier findings
	Advice  string   // what to do if no command is printed, or in addition
}

// Codes lists all findings by code.
var Codes = []struct{ Code, Title, Why string }{
	{"SD001", "A Docker chain is missing", "Something deleted it, or flushed the filter table while Docker was running: a plain iptables-restore, a restart of iptables.service, or a firewall reload."},
	{"SD002", "A Docker rule is missing", "Each network and each published port has several rules, in several chains; the other rules still refer to the missing one."},
	{"SD003", "FORWARD jumps to DOCKER-USER more than once", "Every jump traverses the rules again."},
	{"SD004", "A rule before the jump to DOCKER-USER can accept packets", "Packets it accepts never reach DOCKER-USER."},
	{"SD005", "A published port is open over docker-proxy", "Docker adds no IPv6 DNAT rule for a network without IPv6: IPv6 clients reach docker-proxy through INPUT and bypass DOCKER-USER. By default this affects every published port."},
	{"SD006", "An INPUT rule matches a published port", "Packets to published ports are rewritten by DNAT and traverse FORWARD, never INPUT."},
	{"SD007", "A DOCKER-USER rule matches the published port", "After DNAT, packets carry the container's port. Only conntrack knows the original port."},
	{"SD008", "A DOCKER-USER rule cuts replies or outgoing connections", "Both directions of every connection traverse this chain: a rule that keeps a network out also drops its replies to connections opened by containers. A rule for inbound connections needs -i and --ctdir ORIGINAL."},
	{"SD009", "Two negated rules deny everybody", "Each rule drops what the other lets through."},
	{"SD010", "A DOCKER-USER rule is unreachable", "An earlier rule ends the chain for every packet."},
	{"SD011", "daemon.json stops Docker from adding rules", "Published ports and network isolation then stop working unless you write all of Docker's rules yourself."},
	{"SD012", "Both iptables backends have rules", "A packet has to pass both, and each command shows only one."},
	{"SD013", "Docker uses its nftables backend", "That backend has no DOCKER-USER chain."},
	{"SD014", "The host does not forward IPv4", "Clients cannot reach containers through DNAT."},
	{"SD015", "A foreign rule changes what Docker's rules do", "Docker flushes its own chains when it starts, and expects to find only its own rules there."},
	{"SD016", "firewalld is active, and DOCKER-USER has rules", "When firewalld reloads, Docker recreates its chains with its own rules ahead of the jump to DOCKER-USER."},
	{"SD017", "A table of the host cuts replies or connections of containers", "A drop in any base chain of nftables is final, whatever Docker's own rules accept."},
	{"SD018", "Seawall's table is missing, incomplete, or not the one that its unit loads", "nft flush ruleset, which Debian's nftables.service runs when it starts and stops, deletes the table inet seawall; a part of it can be deleted too. What the policy denies then gets in."},
	{"SD019", "ufw's files do not load the policy as it is loaded now", "ufw reset moves them aside and disables ufw, before.init has to be executable, IPV6=no loads nothing for IPv6, and with MANAGE_BUILTINS=yes each reload flushes Docker's chains as well."},
	{"SD020", "netfilter-persistent deletes or duplicates Docker's rules", "It loads its files with a flush unless told otherwise, and its save writes into them whatever the kernel holds at that moment."},
}

// Run examines a host. A healthy one has no findings.
func Run(ctx context.Context, h *Host, limits prove.Limits) []Finding {
	d := &doctor{ctx: ctx, limits: limits, host: h}
	for _, t := range h.Families {
		if t.ByNFT() {
			d.ofNFT(docker.Look(t))
			continue
		}
		d.chains(docker.Look(t))
		d.user(d.fixedChains(t))
		if l := docker.Look(t); t.NFT != nil && l.Engine != docker.NoEngine {
			d.ownTables(l)
		}
	}
	d.seawalls()
	d.proxy()
	d.facts()
	return d.found
}

type doctor struct {
	ctx    context.Context // of the current run
	limits prove.Limits
	host   *Host
	found  []Finding
	// carried holds the edits of the filter tables whose commands are printed.
	carried map[packet.Family][]edit
	// commands holds the commands, for all tables, that recreate what is missing.
	commands map[packet.Family][]string
	// fixed holds the filter tables with all fixes except those for docker-proxy.
	fixed map[packet.Family]*iptables.Table
	// followers follow packets through the tables of nft, by family.
	followers map[packet.Family]*netfilter.Follower
	told      map[string]bool // reported findings about rules that let clients in, by code and summary
	// foresees is set on a doctor that only computes the tables with all fixes applied.
	foresees bool
}

func (d *doctor) add(f Finding) { d.found = append(d.found, f) }

// command is the iptables command of a family.
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

// restart makes Docker recreate all its chains.
const restart = "systemctl restart docker"

// Text formats findings for a terminal.
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
