package host

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// Ruleset is what nft lists of the kernel's tables.
type Ruleset struct {
	*nftables.File
	// Unread are tables that nft does not list, or in words that it would not load, with the
	// reason.
	Unread []string
}

// Ruleset reads the kernel's tables, but for those that skip names. Each is listed by itself, so
// that one that cannot be read hides no other. The text says more than JSON does (typeof, dynamic,
// flags, comments), so JSON is only asked for a table whose text nft itself would refuse: 1.0.6
// prints such words as "0x35 [invalid type]".
func (h *Host) Ruleset(skip func(family nftables.Family, name string) bool) (*Ruleset, error) {
	names, err := h.tables()
	if err != nil {
		return nil, err
	}
	list := &Ruleset{File: &nftables.File{}}
	for _, n := range names {
		if skip(n.family, n.name) {
			continue
		}
		f, err := h.nftTable(n)
		if err == nil {
			list.Tables = append(list.Tables, f.Tables...)
		} else if h.exists(n) {
			list.Unread = append(list.Unread, fmt.Sprintf("table %s %s: %s", n.family, n.name, firstLine(err)))
		}
	}
	return list, nil
}

// tableName is a table, as nft names it.
type tableName struct {
	family nftables.Family
	name   string
}

// tables are the kernel's tables.
func (h *Host) tables() ([]tableName, error) {
	out, err := h.output(nftCommand(), "list", "tables")
	if err != nil {
		return nil, err
	}
	var list []tableName
	for _, line := range linesOf(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "table" {
			list = append(list, tableName{nftables.Family(f[1]), f[2]})
		}
	}
	return list, nil
}

// exists reports whether a table is still there.
func (h *Host) exists(n tableName) bool {
	names, err := h.tables()
	for _, x := range names {
		if x == n {
			return true
		}
	}
	return err != nil
}

// nftTable reads one table.
func (h *Host) nftTable(n tableName) (*nftables.File, error) {
	args := []string{"list", "table", string(n.family), n.name}
	text, err := h.output(nftCommand(), args...)
	if err != nil {
		return nil, err
	}
	f, err := nftables.Parse(text, nftables.Options{})
	if err == nil {
		return f, nil
	}
	json, failed := h.output(nftCommand(), append([]string{"-j"}, args...)...)
	if failed != nil {
		return nil, err
	}
	if f, failed = nftables.ParseJSON(json); failed != nil {
		return nil, err
	}
	return f, nil
}

// firstLine is an error without the lines that nft adds to show the place.
func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// Other is the output of iptables-save of the back end that is not in use here, "legacy" or
// "nf_tables", for each family in which it has rules; "" if it has none.
func (h *Host) Other() (name string, saved map[packet.Family][]byte) {
	version, err := h.output(command(packet.IPv4), "-V")
	if err != nil {
		return "", nil // there is no known second back end
	}
	other, program := "legacy", "legacy"
	if !bytes.Contains(version, []byte("nf_tables")) {
		other, program = "nf_tables", "nft"
	}
	saved = map[packet.Family][]byte{}
	for _, f := range packet.Families {
		tables := map[packet.Family]string{packet.IPv4: "iptables", packet.IPv6: "ip6tables"}[f]
		if out, err := h.output(tables + "-" + program + "-save"); err == nil && bytes.Contains(out, []byte("\n-A ")) {
			saved[f] = out
		}
	}
	if len(saved) == 0 {
		return "", nil
	}
	return other, saved
}
