package emit

import (
	"regexp"

	"github.com/seawall/seawall/compiler/nftables"
)

// BridgeTable is the table that has the new rules while Seawall's own table is replaced,
// as nft names it.
const BridgeTable = string(nftables.Inet) + " " + nftables.BridgeName

// Bridge is seawall.nft as the table inet seawall-next, called after Seawall's own.
//
// One transaction replaces a table, and yet one packet can pass: the kernel calls the
// base chain of the new table before the one of the old, and each chain reads for itself
// which generation of the rules is in force. A packet that is between the two when the
// generation changes finds the new one not yet there, and the old one no longer. A base
// chain that is called later and does not change in that transaction has no such moment.
// So a reload without a gap is three transactions: load the bridge, replace the table,
// delete the bridge. In between a packet passes what both tables allow. A reload that is
// killed halfway leaves the bridge, which only denies.
func Bridge(file []byte) []byte {
	file = ownTable.ReplaceAll(file, []byte("${0}-next"))
	return ownPriority.ReplaceAll(file, []byte("${1} 4;"))
}

// The lines of seawall.nft that the bridge has otherwise. bridgeSed is the same for sed
// -E, in words that neither the shell nor systemd changes within single quotes.
var (
	ownTable    = regexp.MustCompile(`(?m)^(delete )?table inet seawall`)
	ownPriority = regexp.MustCompile(`(?m)^([ \t]+type filter hook [a-z]+ priority filter -) 5;`)
)

const bridgeSed = `s/^(delete )?table inet seawall/&-next/; /^[[:blank:]]+type filter hook /s/ filter - 5;/ filter - 4;/`

// Without is a text for nft that deletes a table, whether or not it is there.
func Without(table string) []byte {
	return []byte("table " + table + "\ndelete table " + table + "\n")
}
