package kernel

import (
	"errors"
	"fmt"
	"strings"
)

// nftOwn is the harness' table beside a text for nft. It has conntrack look at
// every packet (see track), has the kernel translate what conntrack entries say
// (see loadEmpty), and has a chain for the rules that mark packets.
const nftOwn = `table inet seawall-judge {
	chain marks { type filter hook prerouting priority -1000; }
	chain tracking { type filter hook postrouting priority 1000; ct state new; }
	chain translation { type nat hook postrouting priority 1000; }
}
`

// LoadNft replaces all rules of both families with a text for nft -f. Nothing of
// earlier files is left, nor of sets for ipset. It returns a *Refusal when nft
// refuses the text. The next Load begins with a fresh namespace again.
//
// The harness has a table of its own, inet seawall-judge, whose base chains are
// at priorities -1000 and 1000.
func (h *Host) LoadNft(text string) error {
	h.loaded, h.ready = 0, map[int]bool{}
	if err := h.enterNft(); err != nil {
		return err
	}
	// The mark rules of the previous text go with its tables.
	h.marks = map[uint64]int{}
	if _, err := h.host.run("flush ruleset; "+text+"\n"+nftOwn, "nft", "-f", "-"); err != nil {
		return err
	}
	h.ready[4], h.ready[6] = true, true
	return nil
}

// ListNft returns what "nft -j list ruleset" says of what is loaded. The harness'
// own table is in it; it has no chain that decides about packets. The argument is
// the program, "" for nft.
func (h *Host) ListNft(program string) (string, error) {
	if program == "" {
		program = "nft"
	}
	return h.host.run("", program, "-j", "list", "ruleset")
}

// enterNft empties what iptables and ipset have loaded.
func (h *Host) enterNft() error {
	if h.nft {
		return nil
	}
	if err := h.replaceSets(""); err != nil {
		return err
	}
	if err := errors.Join(h.reset(4), h.reset(6)); err != nil {
		return err
	}
	h.nft = true
	return nil
}

// leaveNft makes the namespace fresh for iptables.
func (h *Host) leaveNft() error {
	if !h.nft {
		return nil
	}
	h.ready = map[int]bool{}
	if _, err := h.host.run("flush ruleset\n", "nft", "-f", "-"); err != nil {
		return err
	}
	h.nft, h.marks = false, map[uint64]int{}
	return h.loadEmpty()
}

// addNftMarks makes the rules that mark the packets.
func (h *Host) addNftMarks(packets []Packet) error {
	var rules strings.Builder
	for _, p := range packets {
		if p.Mark == 0 {
			continue
		}
		if n, rule := h.number(p.Family, p.Mark); rule != "" {
			fmt.Fprintf(&rules, "add rule inet seawall-judge marks ether saddr %s meta mark set %#x\n", mac(markMAC(n)), p.Mark)
		}
	}
	if rules.Len() == 0 {
		return nil
	}
	_, err := h.host.run(rules.String(), "nft", "-f", "-")
	if err != nil {
		h.marks = map[uint64]int{}
	}
	return err
}
