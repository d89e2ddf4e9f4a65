package schema_test

import (
	"fmt"
	"log"
	"testing"
	"testing/fstest"

	"github.com/seawall/seawall/schema"
)

const onePort = `host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "admin" {
  ports = [8080]
  allow { sources = ["192.168.0.1"] }
}
`

// A policy is read from its bytes; no file is needed.
func ExampleParse() {
	loaded, diags := schema.Parse("policy.hcl", []byte(onePort), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	fmt.Println(loaded.Document.Policies[0].Name, loaded.Document.Host.Unlisted)
	// Output: admin deny
}

// A folder of an fs.FS is read like one of the operating system, with its list
// files and variable files, and nothing beside it is.
func TestLoadFromFS(t *testing.T) {
	fsys := fstest.MapFS{
		"site/policy.hcl":       {Data: []byte("variable \"port\" {}\nhost {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"office\" {\n  files = [\"lists/office.txt\"]\n}\npolicy \"admin\" {\n  ports = [var.port]\n  allow { sources = [set.office] }\n}\n")},
		"site/lists/office.txt": {Data: []byte("192.0.2.0/24\n")},
		"site/prod.vars.hcl":    {Data: []byte("port = 8443\n")},
	}
	loaded, diags := schema.Load("./site", schema.Options{FS: fsys, VarFiles: []string{"site/prod.vars.hcl"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if p := loaded.Document.Policies[0]; p.Name != "admin" || len(loaded.Document.Sets[0].Sources.Lists) != 1 {
		t.Errorf("%+v", p)
	}
	if _, diags := schema.Load("/etc", schema.Options{FS: fsys}); !diags.HasErrors() {
		t.Error("a folder outside was read")
	}
	delete(fsys, "site/lists/office.txt")
	if _, diags := schema.Load("site", schema.Options{FS: fsys, Vars: []string{"port=1"}}); !diags.HasErrors() {
		t.Error("a list file that is not there was read")
	}
}
