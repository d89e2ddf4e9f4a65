package schema_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/schema"
)

// Several hosts at a time get the document that each would get alone, mistakes included.
func TestSeveralLikeLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := write("policy.hcl", `variable "ip" { type = string }
variable "list" {
  type    = string
  default = "good.txt"
}
host {
  external = ["eth0"]
  unlisted = "deny"
}
set "office" {
  files = [var.list]
}
policy "p" {
  ports   = "8080/tcp"
  address = var.ip
  allow {
    sources = set.office
  }
}
`)
	write("good.txt", "192.0.2.0/24\n198.51.100.7\n")
	write("bad.txt", "192.0.2.1/24\n")
	var files []string
	for i := range 40 {
		text := fmt.Sprintf("ip = \"10.0.0.%d\"\n", i)
		switch i % 4 {
		case 2:
			text += "list = \"bad.txt\"\n"
		case 3:
			text = "list = \"missing.txt\"\n"
		}
		files = append(files, write(fmt.Sprintf("h%d.vars.hcl", i), text))
	}
	several := schema.NewSeveral(policy, schema.Options{})
	var work sync.WaitGroup
	for _, file := range files {
		work.Go(func() {
			want, wantDiags := schema.Load(policy, schema.Options{VarFiles: []string{file}})
			got, gotDiags := several.Load(file)
			if d := cmp.Diff(fmt.Sprint(wantDiags), fmt.Sprint(gotDiags)); d != "" {
				t.Errorf("%s: %s", file, d)
			}
			if (want.Document == nil) != (got.Document == nil) {
				t.Errorf("%s: only one has a document", file)
			}
			if want.Document != nil && fmt.Sprint(want.Document.Policies[0].Address) != fmt.Sprint(got.Document.Policies[0].Address) {
				t.Errorf("%s: the addresses differ", file)
			}
			if len(want.Files) != len(got.Files) {
				t.Errorf("%s: %d files, alone %d", file, len(got.Files), len(want.Files))
			}
		})
	}
	work.Wait()
}
