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

// A policy as a page for people. The picture of a packet's way, which follows, is
// left out here.
func ExampleMake() {
	loaded, diags := schema.Parse("policy.hcl", []byte(dashboard), schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	page, err := render.Make(context.Background(), loaded.Document, loaded.Inputs, prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	text, _, _ := strings.Cut(page.Markdown(), "\n## The way of a packet")
	fmt.Print(text)
	// Output:
	// # Who may reach what: policy.hcl
	//
	// Traffic from outside arrives on `eth0`. What no policy names is dropped.
	//
	// ## Ports
	//
	// | policy | port | | who | log |
	// | --- | --- | --- | --- | --- |
	// | **admin**<br>The dashboard | 8080/tcp | **allow** | 192.0.2.0/30<br>but not 192.0.2.3 |  |
	// |  |  | deny | everybody else | |
	//
	// ## Who gets in, all rules taken together
	//
	// | policy | IPv4 | IPv6 |
	// | --- | --- | --- |
	// | admin | 192.0.2.0/31, 192.0.2.2 | nobody |
}
