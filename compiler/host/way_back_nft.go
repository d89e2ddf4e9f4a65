package host

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/seawall/seawall/compiler/emit"
)

// With nft the whole way back is one file, back.nft: it removes Seawall's table, and
// creates it again from the bytes that nft listed, in one transaction. They are in
// table.nft as well; that file is missing if there was no table.
//
// Both ways go over the bridge (emit.Bridge), which has the new rules: a table that is
// replaced is called next to it, before or after. On the way back they must not outlive the
// new table, so a bridge that cannot be deleted is an error, and the way back is tried
// again.
const (
	newTable = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
trap '' HUP INT TERM # once started, run to the end
nft=${NFT:-nft}
"$nft" -f bridge.nft && "$nft" -f new.nft && "$nft" -f unbridge.nft
`
	backTable = `#!/bin/sh
# Restores the table "inet seawall" as nft listed it before "seawall apply", or
# removes it if there was none.
# With --test it only checks that this would load now.
cd "$(dirname "$0")" || exit 1
nft=${NFT:-nft}
if [ "${1:-}" = --test ]; then
	exec "$nft" -c -f back.nft
fi
trap '' HUP INT TERM # once started, run to the end
# Without the bridge a packet may pass while the table is replaced. That is better than the
# wrong table.
"$nft" -f bridge.nft 2>/dev/null
if ! "$nft" -f back.nft; then
	"$nft" -f unbridge.nft
	echo 'the previous table does not load; the current one stays' >&2
	exit 1
fi
if ! "$nft" -f unbridge.nft; then
	echo 'the previous table is back, but the table ` + emit.BridgeTable + ` with the rules of the new one is still there; delete it: nft delete table ` + emit.BridgeTable + `' >&2
	exit 1
fi
`
)

func (b byNFT) load(fresh emit.File) (map[string][]byte, error) {
	return map[string][]byte{
		"new.nft": fresh.Bytes, "bridge.nft": emit.Bridge(fresh.Bytes), "unbridge.nft": emit.Without(emit.BridgeTable),
		"new.sh": []byte(newTable), "back.sh": []byte(backTable),
	}, nil
}

func (b byNFT) keep(dir string) error {
	text, _, err := b.listed()
	if err != nil {
		return err
	}
	if text != nil {
		listing := filepath.Join(dir, "table.nft")
		if err := os.WriteFile(listing, text, 0o600); err != nil {
			return err
		}
		if !bytes.Contains(text, []byte(`comment "`+emit.TableComment+`"`)) {
			if err := b.exactly(listing); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "back.nft"), append(emit.Without(ownTable), text...), 0o600)
}
