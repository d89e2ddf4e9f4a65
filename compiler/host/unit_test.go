package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/emit"
)

// Only a record with rules says that a table was loaded.
func TestApplied(t *testing.T) {
	for text, want := range map[string]bool{"": false, "nftables v1.0.6\n": false, "nftables v1.0.6\nforward drop\n": true} {
		dir := t.TempDir()
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, memoryNFT), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if Applied(dir) != want {
			t.Errorf("%q", text)
		}
	}
}

// The unit that apply --persist writes names its file, whatever its path is; the unit of others
// is none of Seawall's.
func TestReadUnit(t *testing.T) {
	for _, name := range []string{"seawall.nft", `a b "c" 100% $x\.nft`} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		unit := emit.Units(path, "/usr/sbin/nft")[0]
		if err := os.WriteFile(filepath.Join(dir, emit.UnitName), unit.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := ReadUnit(dir)
		if err != nil || u == nil || u.Path != path || u.File != nil || !strings.Contains(u.Why, "no such file") {
			t.Fatalf("%+v, %v", u, err)
		}
		if err := os.WriteFile(path, []byte("table inet seawall {\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if u, err = ReadUnit(dir); err != nil || u.File == nil || len(u.File.Tables) != 1 {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	dir := t.TempDir()
	if u, err := ReadUnit(dir); u != nil || err != nil {
		t.Fatal(u, err)
	}
	if err := os.WriteFile(filepath.Join(dir, emit.UnitName), []byte("[Service]\nExecStart=/usr/sbin/nft -f /etc/mine.nft\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err := ReadUnit(dir); u != nil || err != nil {
		t.Fatal(u, err)
	}
}
