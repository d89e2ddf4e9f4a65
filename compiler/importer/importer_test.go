package importer

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

var update = flag.Bool("update", false, "write the policies that the rulesets are imported to")

// recipes are rulesets after common published recipes. What each must come to was
// worked out by hand: whether the language can say all of it, and if not, what of
// it has to be named.
var recipes = map[string][]string{ // no text: it is said wholly
	"01-allow-list":  {"every port (packets that conntrack does not know): ", "(packets related to a connection)"},
	"02-one-address": {"every port (answers)", "icmp (packets related to a connection)", "every port (packets that conntrack does not know)"},
	"03-per-port":    nil, "04-cloudflare": nil,
	"05-ufw-after":     {"destination 192.168.0.0/16"},
	"06-block-list":    {"icmp (packets related to a connection)"}, // its rules cut path MTU discovery
	"07-swarm-ingress": nil,
	"08-no-direction":  {"everybody except 192.0.2.0/24 → tcp port 8080 (arriving on any other interface", "tcp port 8080 (answers)"},
	"09-rate-limit":    {"tcp ports 22 and 8443: pass or deny"},
	"10-accept":        nil,
}

func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("../../testdata/import/*.rules")
	if err != nil || len(files) != len(recipes) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".rules")
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := iptables.Parse(src, iptables.Options{Family: packet.IPv4})
			if err != nil {
				t.Fatal(err)
			}
			result, err := Import(context.Background(), []Chain{{packet.IPv4, f.Table("filter")}}, "eth0", prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".rules") + ".hcl"
			if *update {
				if err := os.WriteFile(golden, result.Policy, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(result.Policy)); diff != "" {
				t.Error(diff)
			}
			var missing []string
			for _, d := range result.Missing {
				missing = append(missing, d.String()+": "+d.File.String())
			}
			if len(recipes[name]) == 0 && len(missing) > 0 || len(recipes[name]) > 0 && len(missing) == 0 {
				t.Errorf("missing: %q", missing)
			}
			for _, text := range recipes[name] {
				if !strings.Contains(strings.Join(missing, "\n"), text) {
					t.Errorf("%q is not named in %q", text, missing)
				}
			}
		})
	}
}
