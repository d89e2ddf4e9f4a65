package compiler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/schema"
)

// A file that nobody edited is replaced when the policy changes, whatever the host block says;
// one with a rule of somebody's in it is not.
func TestOwnFilesAreReplaced(t *testing.T) {
	settings := []string{"", "bridges = [\"docker0\", \"br-+\"]", "invalid = \"deny\"", "established = \"accept\"", "established = \"keep\"", "related = \"accept\"", "related = \"keep\"",
		"established = \"accept\"\n related = \"accept\"\n invalid = \"deny\"\n bridges = [\"docker0\"]", "userland_proxy = false", "internal = [\"eth1\"]"}
	const more = `
guard {
  deny { sources = ["192.0.2.66"] }
}
forward "vpn" {
  from = ["wg0"]
  to   = ["eth1"]
}
`
	for _, external := range []string{"eth0", "eth+", "+"} {
		for _, setting := range settings {
			for _, extra := range []string{"", more} {
				for _, format := range []*emit.Format{emit.Sysconfig, emit.Restore, emit.UFW} {
					for _, layout := range []lower.Layout{lower.Flat, lower.Indexed} {
						compile := func(source string) []emit.File {
							if strings.HasPrefix(setting, "internal") && external == "eth0" {
								setting = ""
							}
							text := fmt.Sprintf("host {\n external = [%q]\n unlisted = \"reject\"\n %s\n}\npolicy \"a\" {\n ports = [80, \"53/udp\"]\n allow {\n sources = [%q]\n log = \"in\"\n}\n}\npolicy \"b\" {\n ports = [81]\n address = [\"203.0.113.7\"]\n default = \"reject\"\n}\n%s", external, setting, source, extra)
							loaded, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
							if diags.HasErrors() {
								t.Fatal(diags)
							}
							out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: format, Layout: layout, Source: "policy.hcl"})
							if err != nil {
								t.Fatal(err)
							}
							return out.Files
						}
						dir := t.TempDir()
						if _, err := emit.Write(dir, compile("10.0.0.0/8")); err != nil {
							t.Fatal(err)
						}
						if err := emit.CheckForeign(dir, compile("10.1.0.0/16")); err != nil {
							t.Errorf("%s %q, extra %v, %s, %s: %v", external, setting, extra != "", format.Name, layout, err)
						}
					}
				}
			}
		}
	}
}
