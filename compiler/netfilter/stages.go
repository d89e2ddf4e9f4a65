package netfilter

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// stage is one of the kernel's calls at a hook: into a built-in chain of iptables, or into a base
// chain of nft. A drop in any of them is final, and an accept only ends that one.
type stage struct {
	place int // its priority (include/uapi/linux/netfilter_ipv4.h)
	take  func(flows) flows
}

// The priorities of the tables of iptables, in prerouting that of nat.
const (
	placeRaw      = -300
	placeMangle   = -150
	placeNat      = -100
	placeFilter   = 0
	placeSecurity = 50
)

// stages takes flows through all chains of a hook.
func (w *walk) stages(hook string, in flows) flows {
	list := w.ofIPTables(hook, Tables{w.host.Raw, w.host.Mangle, w.host.Nat, w.host.Filter, w.host.Security})
	list = append(append(list, w.ofIPTables(hook, w.host.Other)...), w.ofNFT(hook)...)
	slices.SortStableFunc(list, func(a, b stage) int { return cmp.Compare(a.place, b.place) })
	for _, s := range list {
		if len(in) == 0 {
			break
		}
		in = s.take(in)
	}
	return in
}

// ofIPTables are the stages of one back end of iptables.
func (w *walk) ofIPTables(name string, t Tables) []stage {
	through := func(place int, table *iptables.Table, chain string, sees func(state) packet.Packet) stage {
		return stage{place, func(in flows) flows { return w.through(in, hook{table, chain, sees}) }}
	}
	switch name {
	case "prerouting":
		return []stage{through(placeRaw, t.Raw, "PREROUTING", untracked), through(placeMangle, t.Mangle, "PREROUTING", tracked),
			{placeNat, func(in flows) flows { return w.rewritten(t.Nat, in) }}}
	case "postrouting":
		return []stage{through(placeMangle, t.Mangle, "POSTROUTING", tracked)}
	}
	chain := strings.ToUpper(name)
	return []stage{through(placeMangle, t.Mangle, chain, tracked), through(placeFilter, t.Filter, chain, tracked), through(placeSecurity, t.Security, chain, tracked)}
}

// ofNFT are the base chains of nft. The outcomes of a new connection end before the
// translation of its source, which drops nothing.
func (w *walk) ofNFT(hook string) []stage {
	if w.nft == nil {
		return nil
	}
	var list []stage
	for _, b := range w.nft.At(hook) {
		if hook != "prerouting" && b.Hook.Type == "nat" || w.only != nil && !w.only(b.Table) {
			continue
		}
		sees := tracked
		if hook == "prerouting" && b.Place < nftables.PlaceConntrack {
			sees = untracked
		}
		list = append(list, stage{b.Place, func(in flows) flows { return w.base(in, b, sees) }})
	}
	return list
}
