package diff_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// admin is a policy that lets sources reach port 8080.
func admin(sources string) *schema.Document {
	loaded, diags := schema.Parse("policy.hcl", []byte(`
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "admin" {
  ports = [8080]
  allow { sources = [`+sources+`] }
}
`), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	return loaded.Document
}

// One half of the office is left out, and one more address let in.
func ExampleMeaning() {
	before := prove.Side{Policy: admin(`"192.0.2.0/24"`)}
	after := prove.Side{Policy: admin(`"192.0.2.0/25", "198.51.100.7"`)}
	sides := diff.Sides{packet.IPv4: {before, after}, packet.IPv6: {before, after}}
	report, err := diff.Meaning(context.Background(), sides, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(report.Text())
	// Output:
	// 2 changes in meaning: 1 opened, 1 closed.
	//
	// 1. + 198.51.100.7 → policy admin: tcp port 8080
	// 2. - 192.0.2.128/25 → policy admin: tcp port 8080
}
