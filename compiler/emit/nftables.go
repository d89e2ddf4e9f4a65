package emit

import (
	"bytes"
	"fmt"

	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// NFTables is a file for nft.
var NFTables = register(Format{
	Name: "nftables", Order: 4, WithSets: true, NFT: true,
	Summary: "seawall.nft, a table of its own for nft -f, both families, loaded at any time",
	Files: func(c *Chains) []File {
		return []File{{Name: "seawall.nft", Bytes: nft(c), Families: packet.Families, NFT: true}}
	},
})

// nft is a file that nft loads in one transaction. The first line makes sure that
// there is a table to delete; so loading it twice is the same as once, and no packet
// sees the host without the table.
func nft(c *Chains) []byte {
	var b bytes.Buffer
	for _, line := range head(c) {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteString("# Load: nft -f FILE\n")
	name := fmt.Sprintf("table %s %s\n", c.NFT.Family, c.NFT.Name)
	b.WriteString(name + "delete " + name)
	nftables.Print(&b, c.NFT)
	return b.Bytes()
}
