package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

const (
	ownTable    = "inet " + nftables.TableName
	bridgeTable = "inet " + nftables.BridgeName
	deleteTable = "nft delete table "
)

// hasTable reports whether a ruleset has one of Seawall's tables.
func hasTable(f *nftables.File, name string) bool {
	return f != nil && f.Table(nftables.Inet, name) != nil
}

// ruleset is the ruleset of nft, nil if none was read. Each family has the same tables of inet.
func (d *doctor) ruleset() *nftables.File {
	for _, t := range d.host.Families {
		if t.NFT != nil {
			return t.NFT
		}
	}
	return nil
}

// hasSeawall reports whether the table inet seawall is there.
func (d *doctor) hasSeawall() bool { return hasTable(d.ruleset(), nftables.TableName) }

// seawallChains reports whether the tables of iptables have chains of Seawall's.
func (d *doctor) seawallChains() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return seawallChains(t) })
}

// seawallChains reports whether one family has such chains, in iptables-save or in what nft lists
// of the same tables.
func seawallChains(t docker.Tables) bool {
	const prefix = "SEAWALL"
	if t.Filter != nil && slices.ContainsFunc(t.Filter.Chains, func(c *iptables.Chain) bool { return strings.HasPrefix(c.Name, prefix) }) {
		return true
	}
	return t.NFT != nil && slices.ContainsFunc(t.NFT.Tables, func(x *nftables.Table) bool {
		return x.IPTables() && slices.ContainsFunc(x.Chains, func(c *nftables.Chain) bool { return strings.HasPrefix(c.Name, prefix) })
	})
}

// shares reports whether Seawall's rules are in a chain that DOCKER-USER jumps to.
func (d *doctor) shares() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return t.Filter.Chain(iptables.SeawallForward) != nil })
}

// seawalls examines the table inet seawall: that it is there where a unit loads it, that it is
// whole, and that it is the one that the unit loads.
func (d *doctor) seawalls() {
	all, unit := d.ruleset(), d.host.Facts.Unit
	if all == nil {
		return
	}
	t := all.Table(nftables.Inet, nftables.TableName)
	switch {
	case t == nil && unit != nil:
		d.add(Finding{Code: "SD018", Summary: "the table " + ownTable + " is missing", Place: "table " + ownTable,
			Detail:  "The unit seawall.service loads it, and something has deleted it since: nft flush ruleset does, which Debian's nftables.service runs when it starts and stops.",
			Traffic: []string{"what the policy denies: let in, as far as no other rule denies it"},
			Advice:  "load it again: nft -f " + ShellWord(unit.Path)})
		return
	case t == nil && d.host.Facts.Applied && !d.seawallChains():
		d.add(Finding{Code: "SD018", Summary: "the table " + ownTable + " is missing", Place: "table " + ownTable,
			Detail:  "seawall apply has loaded it since the last boot, and something has deleted it: nft flush ruleset does, which Debian's nftables.service runs when it starts and stops.",
			Traffic: []string{"what the policy denies: let in, as far as no other rule denies it"},
			Advice:  "load the policy again: seawall apply --format nftables; with --persist /etc/seawall a unit loads it at boot and after nftables.service"})
		return
	case t == nil:
		return
	}
	if parts := lacking(t); len(parts) > 0 {
		d.incomplete(parts, unit)
		return
	}
	d.asLoaded(t, unit)
}

// lacking is what is wrong with a table of Seawall's, as far as the table itself shows it: Seawall
// writes no chain that nothing leads to, and no set that no rule asks for. A base chain without
// rules is one of a policy that has nothing to say there, unless its rules are missed elsewhere.
func lacking(t *nftables.Table) []string {
	var list, empty []string
	if slices.Contains(t.Flags, "dormant") {
		list = append(list, "it is dormant, so that no packet comes to it")
	}
	if !hooked(t, "forward") {
		list = append(list, "it has no base chain at forward")
	}
	for _, c := range t.Chains {
		switch {
		case c.Hook == nil && !t.Leads(c.Name):
			list = append(list, "nothing leads to its chain "+c.Name)
		case c.Hook != nil && len(c.Rules) == 0:
			empty = append(empty, "its base chain "+c.Name+" has no rules")
		}
	}
	for _, s := range t.Sets {
		if !t.Asks(s.Name) {
			list = append(list, "no rule asks for its set "+s.Name)
		}
	}
	if len(list) > 0 {
		return append(empty, list...)
	}
	return nil
}

// hooked reports whether a table has a base chain of type filter at a hook.
func hooked(t *nftables.Table, hook string) bool {
	return slices.ContainsFunc(t.Chains, func(c *nftables.Chain) bool { return c.Hook != nil && c.Hook.Hook == hook && c.Hook.Type == "filter" })
}

// incomplete reports what is wrong with the table.
func (d *doctor) incomplete(parts []string, unit *Unit) {
	const most = 3
	if n := len(parts) - most; n > 0 {
		parts = append(parts[:most:most], fmt.Sprintf("and %d more", n))
	}
	f := Finding{Code: "SD018", Summary: "the table " + ownTable + " is incomplete: " + strings.Join(parts, "; "), Place: "table " + ownTable,
		Detail:  "Seawall writes no such table: something has deleted a part of it, or changed it, since it was loaded.",
		Traffic: []string{"what the policy denies: let in, as far as the missing part denied it"},
		Advice:  "load the policy again: seawall apply --format nftables"}
	if unit != nil {
		f.Advice = "load it again: nft -f " + ShellWord(unit.Path)
	}
	d.add(f)
}

// asLoaded compares the table with the file that the unit loads, over all packets. What cannot be
// compared is not reported: verify names it.
func (d *doctor) asLoaded(t *nftables.Table, unit *Unit) {
	if unit == nil {
		return
	}
	if unit.File == nil {
		d.add(Finding{Code: "SD018", Summary: "seawall.service cannot load " + unit.Path, Place: unit.Path,
			Detail:  unit.Why + ".",
			Traffic: []string{"none now; after the next boot, what the policy denies gets in"},
			Advice:  "write the file again: seawall apply --format nftables --persist /etc/seawall"})
		return
	}
	now := &nftables.File{Tables: []*nftables.Table{t}}
	opened, closed := 0, 0
	for _, f := range packet.Families {
		list, err := prove.Changes(d.ctx, prove.Side{Rules: unit.File.Rules(f, nftables.RuleOptions{})}, prove.Side{Rules: now.Rules(f, nftables.RuleOptions{})}, f, d.limits)
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Effect == prove.Closed {
				closed++
			} else {
				opened++
			}
		}
	}
	if opened+closed == 0 {
		return
	}
	traffic := "some of what the file lets in: denied now"
	if opened > 0 {
		traffic = "some of what the file denies: let in now"
	}
	d.add(Finding{Code: "SD018", Summary: "the table " + ownTable + " is not the one that seawall.service loads", Place: "table " + ownTable,
		Detail:  "It treats some packets differently from " + unit.Path + ", which is loaded at the next boot. Either something changed the table, or another policy was loaded and not written there.",
		Traffic: []string{traffic},
		Advice:  "compare them: nft list ruleset | seawall diff " + ShellWord(unit.Path) + " -; then load the file, nft -f " + ShellWord(unit.Path) + ", or write what is loaded: seawall apply --format nftables --persist /etc/seawall"})
}

// seawallNotes are remarks about Seawall's own tables.
func (d *doctor) seawallNotes() []string {
	all := d.ruleset()
	if all == nil {
		return nil
	}
	var list []string
	t, bridge := all.Table(nftables.Inet, nftables.TableName), all.Table(nftables.Inet, nftables.BridgeName)
	switch {
	case bridge != nil && t != nil:
		list = append(list, "the table "+bridgeTable+" is left over from a reload that did not end, unless one is running now. It is harmless, and at most stricter than the policy. Delete it: "+deleteTable+bridgeTable+".")
	case bridge != nil:
		list = append(list, "only the table "+bridgeTable+", which a reload left over, keeps out what the policy denies: the table "+ownTable+" is missing. Load the policy again, then delete it: "+deleteTable+bridgeTable+".")
	}
	if t == nil {
		return list
	}
	const usual = -5
	for _, c := range t.Chains {
		if c.Hook != nil && c.Hook.Priority != usual {
			list = append(list, fmt.Sprintf("the chain %s of the table %s has the priority %d, and not filter - 5, which Seawall writes. A drop is final at any priority, but after Docker's rules a reject may not be seen by the client.", c.Name, ownTable, c.Hook.Priority))
		}
	}
	if d.seawallChains() {
		list = append(list, d.bothFormats())
	}
	return list
}

// bothFormats says which of the two formats to remove.
func (d *doctor) bothFormats() string {
	const safe = "the host has Seawall's rules in both formats, iptables and nftables. That is safe, and needless: a packet has to pass both. "
	if format, _ := d.suited(); format == formatNFT {
		remove, others := "iptables -D INPUT -j SEAWALL-INPUT; iptables -F SEAWALL-INPUT; ", ""
		if d.shares() {
			remove += "iptables -D DOCKER-USER -j " + iptables.SeawallForward + "; iptables -F " + iptables.SeawallForward
		} else {
			remove, others = remove+"iptables -F DOCKER-USER", " The last removes all rules there, other people's too."
		}
		return safe + "Remove those of iptables, and the same with ip6tables: " + remove + "." + others
	}
	remove := deleteTable + ownTable
	if d.host.Facts.Unit != nil {
		remove = "systemctl disable seawall.service; " + remove
	}
	return safe + "Keep one; to remove the table: " + remove + "."
}
