package lint_test

import (
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
)

// A deny block comes too late, and a database is open to everybody. So is the honeypot,
// intentionally.
func ExampleRun() {
	loaded, diags := schema.Parse("policy.hcl", []byte(`host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "admin" {
  ports = [8080]
  allow { sources = ["192.0.2.0/24", "2001:db8:40::/48"] }
  deny  { sources = ["192.0.2.7"] }
}
policy "db" {
  ports   = [5432]
  default = "allow"
}
# seawall:ignore SW007 the honeypot is meant to be found
policy "honeypot" {
  ports   = [22]
  default = "allow"
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	for _, f := range lint.Run(loaded.Document, loaded.Files) {
		fmt.Printf("line %d, %s: %s\n", f.At.Start.Line, f.Code, f.Summary)
	}
	// Output:
	// line 8, SW001: A rule that can never match
	// line 10, SW007: A database or admin port open to everybody
}
