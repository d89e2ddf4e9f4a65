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
	"01-allow-list":  {"conntrack INVALID, UNTRACKED: "},
	"02-one-address": {"conntrack ESTABLISHED REPLY, RELATED REPLY", "protocol icmp; conntrack RELATED ORIGINAL", "conntrack INVALID, UNTRACKED"},
	"03-per-port":    nil, "04-cloudflare": nil,
	"05-ufw-after":     {"destination 192.168.0.0/16"},
	"06-block-list":    {"protocol icmp; conntrack RELATED ORIGINAL"}, // its rules cut path MTU discovery
	"07-swarm-ingress": nil,
	"08-no-direction":  {"source all but 192.0.2.0/24; protocol tcp; original port 8080; conntrack ESTABLISHED REPLY, RELATED REPLY"}, // it cuts answers
	"09-rate-limit":    {"original port 22, 8443: pass or deny"},
	"10-accept":        nil,
}

// said is a difference in one line.
func said(d *Missing) string {
	var fields []string
	for _, f := range d.Fields {
		fields = append(fields, f.Name+" "+packet.Shorten(f.Values))
	}
	return strings.Join(fields, "; ") + ": " + d.File.String()
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
			result, err := Import(context.Background(), []Chain{{Family: packet.IPv4, Name: path, Table: f.Table("filter"), Source: src}}, []string{"eth0"}, prove.Limits{})
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
				missing = append(missing, said(d))
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
