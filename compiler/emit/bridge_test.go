package emit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/nftables"
)

// The bridge of each example is the same table, but for its name and its priority, in Go
// and as the unit makes it.
func TestBridge(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/compiled/seawall.nft")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v: only %d tables", err, len(files))
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bridge := Bridge(text)
		sed := exec.Command("sed", "-E", bridgeSed, path)
		if out, err := sed.Output(); err != nil || string(out) != string(bridge) {
			t.Errorf("%s: sed makes another bridge: %v\n%s", path, err, cmp.Diff(string(bridge), string(out)))
		}
		now, old := table(t, bridge, nftables.BridgeName), table(t, text, nftables.TableName)
		if now.Name != "seawall-next" {
			t.Errorf("%s: the bridge is called %q", path, now.Name)
		}
		now.Name = old.Name
		for i, c := range now.Chains {
			if c.Hook == nil {
				continue
			}
			if c.Hook.Priority != -4 || old.Chains[i].Hook.Priority != -5 {
				t.Errorf("%s: chain %s is called at %d, in the bridge at %d", path, c.Name, old.Chains[i].Hook.Priority, c.Hook.Priority)
			}
		}
		var a, b bytes.Buffer
		nftables.Print(&a, old)
		nftables.Print(&b, now)
		if diff := cmp.Diff(a.String(), strings.ReplaceAll(b.String(), "filter - 4", "filter - 5")); diff != "" {
			t.Errorf("%s: the bridge has other rules:\n%s", path, diff)
		}
	}
}

// table reads a text, and its only table.
func table(t *testing.T, text []byte, name string) *nftables.Table {
	t.Helper()
	file, err := nftables.Parse(text, nftables.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Tables) != 1 {
		t.Fatalf("%d tables", len(file.Tables))
	}
	return file.Table(nftables.Inet, name)
}

// What looks like the head of a table within a rule, a comment or a log prefix stays.
func TestBridgeLeavesRules(t *testing.T) {
	text := "table inet seawall\ndelete table inet seawall\ntable inet seawall {\n\t# table inet seawall, priority filter - 5;\n" +
		"\tchain forward {\n\t\ttype filter hook forward priority filter - 5; policy accept;\n\t\tlog prefix \"table inet seawall filter - 5; \"\n\t}\n}\n"
	want := "table inet seawall-next\ndelete table inet seawall-next\ntable inet seawall-next {\n\t# table inet seawall, priority filter - 5;\n" +
		"\tchain forward {\n\t\ttype filter hook forward priority filter - 4; policy accept;\n\t\tlog prefix \"table inet seawall filter - 5; \"\n\t}\n}\n"
	if diff := cmp.Diff(want, string(Bridge([]byte(text)))); diff != "" {
		t.Error(diff)
	}
}
