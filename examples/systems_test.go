package examples

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
)

// One policy as the files of every system, each in a folder with the commands that switch
// them on.
func TestSystems(t *testing.T) {
	loaded, diags := schema.Load("one-port", schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	index := "# Where each file goes\n\nThe policy of [one-port](../one-port/policy.hcl), as `seawall compile --for SYSTEM` writes it for each system.\n\n| system | files | folder |\n| --- | --- | --- |\n"
	for _, name := range system.Names() {
		s := system.ByName(name)
		out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: s.Format, Source: "policy.hcl"})
		if err != nil {
			t.Fatal(err)
		}
		files := out.Files
		if s.Boot != nil {
			files = append(files, s.Boot()...)
		}
		var names []string
		for _, f := range files {
			names = append(names, "`"+s.FileName(f.Name)+"`")
			compare(t, filepath.Join("systems", name, s.FileName(f.Name)), f)
		}
		compare(t, filepath.Join("systems", name, "README.md"), emit.File{Bytes: []byte(pageOf(s))})
		index += fmt.Sprintf("| [%s](%s): %s | %s | `%s` |\n", name, name, s.Title, strings.Join(names, ", "), s.Folder)
	}
	index += "\n`seawall doctor` says which of them a host is, and `seawall apply --persist auto` writes there (but on NixOS).\n"
	compare(t, filepath.Join("systems", "README.md"), emit.File{Bytes: []byte(index)})
}

// pageOf is the page of a system's folder.
func pageOf(s *system.System) string {
	text := "# " + strings.ToUpper(s.Title[:1]) + s.Title[1:] + "\n\nAs root, once per host:\n\n```sh\n" + strings.Join(s.Commands("policy.hcl", ""), "\n") + "\n```\n\n" + s.Trap + "\n"
	if s.Format.Hook != "" {
		text += "\nThese files are the part of each that is Seawall's; with `--base` it is a marked block in ufw's own.\n"
	}
	return text
}
