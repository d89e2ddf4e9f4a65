package render_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/render"
	"github.com/seawall/seawall/schema"
)

const dashboard = `host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "admin" {
  description = "The dashboard"
  ports       = [8080]
  allow {
    sources = ["192.0.2.0/30"]
    except  = ["192.0.2.3"]
  }
}
`

// A policy as a page for people: how it begins. Each policy with its rules follows,
// and the host's settings.
func ExampleMake() {
	loaded, diags := schema.Parse("policy.hcl", []byte(dashboard), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	page, err := render.Make(context.Background(), loaded.Document, loaded.Inputs, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	text, _, _ := strings.Cut(page.Markdown(), "\n## Policies")
	fmt.Print(text)
	// Output:
	// # Who may reach what: policy.hcl
	//
	// 1 policy names 1 port that Docker may publish. Traffic from outside arrives on `eth0`.
	//
	// - **Open to some**, 1 port: [admin](#policy-admin) `8080/tcp` (IPv4 only)
	// - **Any other port**: dropped on its way to a container, in IPv4 and IPv6; at docker-proxy, the host's own INPUT rules decide
	//
	// ## Who reaches what
	//
	// | policy | ports | IPv4 | IPv6 | everybody else |
	// | --- | --- | --- | --- | --- |
	// | [admin](#policy-admin) | `8080/tcp` | `192.0.2.0/31`, `192.0.2.2` | nobody | dropped |
	//
	// This is the outcome of all rules together, the guard and narrower policies included.
}
