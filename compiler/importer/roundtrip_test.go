package importer_test

import (
	"context"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// What Seawall writes of an example, both families at once, comes back as a policy that
// implements it.
func TestOwnOutput(t *testing.T) {
	for name, in := range map[string][]string{"one-port": nil, "web": nil, "database": nil, "mail": nil, "ipv6": nil, "router": nil, "two-interfaces": {"eth0", "eth1"}} {
		for _, layout := range []lower.Layout{"flat", "indexed"} {
			t.Run(name+"/"+string(layout), func(t *testing.T) {
				loaded, diags := schema.Load("../../examples/"+name, schema.Options{})
				if diags.HasErrors() {
					t.Fatal(diags)
				}
				out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: emit.Restore, Layout: layout})
				if err != nil {
					t.Fatal(err)
				}
				var chains []importer.Chain
				for _, f := range out.Files {
					list, err := compiler.ReadRules(f.Name, f.Bytes, compiler.ReadOptions{Family: f.Families[0]})
					if err != nil {
						t.Fatal(err)
					}
					for _, x := range list {
						chains = append(chains, importer.Chain{Family: x.Family(), Name: x.Name, Table: x.Table, Source: x.File.Source})
					}
				}
				result, err := importer.Import(context.Background(), chains, in, prove.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if !result.Equal() {
					t.Errorf("missing: %v %v\n%s", result.Missing, result.Lost, result.Policy)
				}
			})
		}
	}
}
