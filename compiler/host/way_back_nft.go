package host

import (
	"os"
	"path/filepath"

	"github.com/seawall/seawall/compiler/emit"
)

// With nft the whole way back is one file, back.nft: it removes Seawall's table, and
// creates it again from the bytes that nft listed, in one transaction. They are in
// table.nft as well; that file is missing if there was no table.
const (
	newTable = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
trap '' HUP INT TERM # one transaction: it happens, or it does not
exec "${NFT:-nft}" -f new.nft
`
	backTable = `#!/bin/sh
# Restores the table "inet seawall" as nft listed it before "seawall apply", or
# removes it if there was none.
# With --test it only checks that this would load now.
cd "$(dirname "$0")" || exit 1
if [ "${1:-}" = --test ]; then
	exec "${NFT:-nft}" -c -f back.nft
fi
trap '' HUP INT TERM # once started, run to the end
"${NFT:-nft}" -f back.nft && exit
echo 'the previous table does not load; the current one stays' >&2
exit 1
`
	// withoutTable removes the table whether or not it is there.
	withoutTable = "table " + ownTable + "\ndelete table " + ownTable + "\n"
)

func (b byNFT) load(fresh emit.File) map[string][]byte {
	return map[string][]byte{"new.nft": fresh.Bytes, "new.sh": []byte(newTable), "back.sh": []byte(backTable)}
}

func (b byNFT) keep(dir string) error {
	text, err := b.listed()
	if err != nil {
		return err
	}
	if text != nil {
		if err := os.WriteFile(filepath.Join(dir, "table.nft"), text, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "back.nft"), append([]byte(withoutTable), text...), 0o600)
}
