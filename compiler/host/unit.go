package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/nftables"
)

// UnitFolder is where apply --persist writes the unit.
const UnitFolder = "/etc/systemd/system"

// Unit is Seawall's unit of systemd, which loads a table.
type Unit struct {
	Path string         // of the table
	File *nftables.File // the table; nil if it cannot be read
	Why  string         // why it cannot
}

// ReadUnit reads the unit of a folder, and what it loads; nil if there is none of Seawall's.
func ReadUnit(folder string) (*Unit, error) {
	src, err := os.ReadFile(filepath.Join(folder, emit.UnitName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	path, ok := emit.UnitLoads(src)
	if !ok {
		return nil, nil
	}
	u := &Unit{Path: path}
	table, err := os.ReadFile(path)
	if err == nil {
		u.File, err = nftables.Parse(table, nftables.Options{})
	}
	if err != nil {
		u.Why = fmt.Sprint(err)
	}
	return u, nil
}

// Applied reports whether an apply from this folder, such as /run/seawall, has loaded a table and
// kept it. The folder is empty after a boot.
func Applied(run string) bool {
	text, err := os.ReadFile(filepath.Join(run, memoryNFT))
	return err == nil && len(linesOf(strings.TrimSpace(string(text)))) > 1 // the first is the version of nft
}
