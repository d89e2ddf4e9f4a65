package nftables

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
)

// For any input, Parse either names the line it refuses, or Print returns a text
// that is read as the same tables.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../testdata/captures/*.nft", "testdata/listings/*.nft", "../../examples/web/compiled/*.nft"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	for _, text := range readTexts(f) {
		f.Add([]byte(text.full))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzzing.Bound(t, len(src))
		file, err := Parse(src, Options{})
		if err != nil {
			if refused, ok := errors.AsType[*Error](err); !ok || refused.Line < 1 || refused.Line > strings.Count(string(src), "\n")+2 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if !printable(file) {
			return
		}
		once := printed(file)
		again, err := Parse(once, Options{})
		if err != nil {
			t.Fatalf("Parse refuses what Print returned: %v\n%s\n%q", err, once, src)
		}
		if !reflect.DeepEqual(withoutPlaces(file).Tables, withoutPlaces(again).Tables) {
			t.Fatalf("read as other tables:\n%s\nprinted again:\n%s\ninput %q", once, printed(again), src)
		}
	})
}

// printable reports whether Print writes all that a file says. It writes what Seawall
// generates: no objects, no flags of tables, no devices, and nothing that is unread.
func printable(f *File) bool {
	for _, t := range f.Tables {
		if len(t.Objects) > 0 || len(t.Flags) > 0 {
			return false
		}
		for _, s := range t.Sets {
			if s.Unread != "" {
				return false
			}
		}
		for _, c := range t.Chains {
			if c.Hook != nil && (c.Hook.Unread != "" || c.Hook.Devices != nil) {
				return false
			}
		}
	}
	return true
}
