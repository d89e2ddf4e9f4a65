package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/host"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/spf13/cobra"
)

// live reads the rules that the kernel holds, and what the host says beside them.
func (h *hostFlags) live(*cobra.Command) (*doctor.Host, error) {
	d := &doctor.Host{Interfaces: h.in, Facts: doctor.Facts{Live: true, Forwarding: map[int]bool{}, Active: map[string]bool{}}}
	if len(h.in) == 0 {
		d.Interfaces = defaultInterfaces()
	}
	l := &liveRules{now: host.ThisHost(), facts: &d.Facts}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("%w. To read saved rules, use --rules", err)
	}
	var err error
	if d.Families, err = l.rules.families(); err != nil {
		return nil, err
	}
	return d, liveFacts(&d.Facts)
}

// liveRules are the rules that the kernel holds: those of iptables, of its other back end, and
// the tables of nft.
type liveRules struct {
	now   *host.Host
	rules hostRules
	facts *doctor.Facts
}

// kernels is what messages call the kernel's rules.
const kernels = "the kernel's rules"

func (l *liveRules) read() error {
	noIPTables := l.iptables()
	if noIPTables != nil && (!host.Missing(noIPTables) || l.now.HasIPTables()) {
		return noIPTables
	}
	l.other()
	set, err := l.now.Ruleset(l.isSaved)
	switch {
	case err != nil && noIPTables != nil:
		return noIPTables
	case err != nil:
		l.unseen("the tables of nftables were not read, and what they drop is not seen: %v. %s, and run this again", err, nftRemedy(err))
		return nil
	}
	for _, what := range set.Unread {
		l.unseen("what this table drops is not seen: %s", what)
	}
	l.rules.nft, l.rules.shown, l.rules.only = set.File, kernels, packet.Families
	return nil
}

// nftRemedy is what lets nft be read.
func nftRemedy(err error) string {
	if host.Missing(err) {
		return "Install nftables"
	}
	return "Run it as root"
}

// iptables reads the back end that the command iptables uses.
func (l *liveRules) iptables() error {
	for _, f := range packet.Families {
		src, err := l.now.Saved(f)
		if err != nil {
			return err
		}
		sets, err := l.now.Sets(src)
		if err != nil {
			return err
		}
		if err := l.rules.add(kernels, src, f, sets); err != nil {
			return err
		}
	}
	return nil
}

// other reads the back end of iptables that is not in use. Rules of it that cannot be read hide
// nothing of the others.
func (l *liveRules) other() {
	name, saved := l.now.Other()
	l.facts.OtherBackend = name
	for _, f := range packet.Families {
		src, has := saved[f]
		if !has {
			continue
		}
		sets, err := l.now.Sets(src)
		if err == nil {
			var list []*compiler.Rules
			if list, err = readRules(kernels, src, compiler.ReadOptions{Family: f, Sets: sets}); err == nil {
				l.rules.other = append(l.rules.other, list[0].File)
				continue
			}
		}
		l.unseen("the %v rules of iptables' %s back end were not read, and what they drop is not seen: %v", f, name, err)
	}
}

func (l *liveRules) unseen(format string, args ...any) {
	l.facts.Unseen = append(l.facts.Unseen, fmt.Sprintf(format, args...))
}

// isSaved reports whether iptables-save has printed all of a table: there are no chains in it
// that only nft lists.
func (l *liveRules) isSaved(family nftables.Family, name string) bool {
	of := map[nftables.Family]packet.Family{nftables.IP: packet.IPv4, nftables.IP6: packet.IPv6}[family]
	return slices.ContainsFunc(slices.Concat(l.rules.saved, l.rules.other), func(f *iptables.File) bool {
		return f.Family == of && f.Table(name) != nil && bytes.Contains(f.Source, []byte("(nf_tables)")) && !bytes.Contains(f.Source, []byte(" incompatible "))
	})
}
