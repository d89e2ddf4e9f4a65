// Package examples holds policies that people can start from, the files that
// they compile to, and their rendered pages. The test keeps all of those true;
// -update writes them.
package examples

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/render"
	"github.com/seawall/seawall/schema"
)

var update = flag.Bool("update", false, "write the compiled files of the examples")

// instance is an example, or one host of an example with variable files.
type instance struct{ name, dir, varFile, compiled, page string }

func instances(t *testing.T) []instance {
	t.Helper()
	dirs, err := filepath.Glob("*/policy.hcl")
	if err != nil || len(dirs) < 8 {
		t.Fatalf("%d examples, %v", len(dirs), err)
	}
	var list []instance
	for _, policy := range dirs {
		dir := filepath.Dir(policy)
		vars, _ := filepath.Glob(filepath.Join(dir, "*.vars.hcl"))
		if len(vars) == 0 {
			list = append(list, instance{dir, dir, "", filepath.Join(dir, "compiled"), "rendered"})
		}
		for _, v := range vars {
			host := strings.TrimSuffix(filepath.Base(v), ".vars.hcl")
			list = append(list, instance{dir + "/" + host, dir, v, filepath.Join(dir, "compiled", host), "../rendered-" + host})
		}
	}
	return list
}

func TestCompiledFilesAreTrue(t *testing.T) {
	for _, i := range instances(t) {
		t.Run(i.name, func(t *testing.T) {
			opt := schema.Options{}
			if i.varFile != "" {
				opt.VarFiles = []string{i.varFile}
			}
			loaded, diags := schema.Load(i.dir, opt)
			if len(diags) > 0 {
				t.Fatal(diags)
			}
			var names []string
			for _, n := range loaded.Inputs {
				names = append(names, filepath.Base(n))
			}
			results, err := prove.Tests(context.Background(), loaded.Document, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				for _, f := range r.Failures {
					t.Errorf("test %q: %s", r.Test.Name, f)
				}
			}
			page, err := render.Make(context.Background(), loaded.Document, loaded.Inputs, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			text, err := page.HTML()
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join(filepath.Dir(i.compiled), i.page+".html"), emit.File{Bytes: []byte(text)})
			compare(t, filepath.Join(filepath.Dir(i.compiled), i.page+".md"), emit.File{Bytes: []byte(page.Markdown())})
			for _, format := range emit.Formats() {
				out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: format, Source: strings.Join(names, ", ")})
				var unfit *compiler.UnfitError
				if errors.As(err, &unfit) {
					continue // an accept without a mark
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range out.Files {
					compare(t, filepath.Join(i.compiled, f.Name), f)
				}
			}
		})
	}
}

func compare(t *testing.T, path string, f emit.File) {
	t.Helper()
	if *update {
		mode := os.FileMode(0o644)
		if f.Executable {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Bytes, mode); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, f.Bytes) {
		t.Errorf("%s is not what the policy compiles to; look at the change, then go test ./examples -update", path)
	}
}

func TestPoliciesAreInCanonicalLayout(t *testing.T) {
	files, err := filepath.Glob("*/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out, diags := schema.Format(name, src)
		if diags.HasErrors() || !bytes.Equal(src, out) {
			t.Errorf("%s: run seawall fmt (%v)", name, diags)
		}
	}
}

// setScript is a script that brings ipsets with it.
func setScript(t *testing.T) string {
	t.Helper()
	loaded, diags := schema.Load("mail", schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: emit.Shell, Layout: lower.IPSet})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := emit.Write(dir, out.Files); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "seawall.sh")
}

func TestScriptsAreShellcheckClean(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs shellcheck, and CI must have it")
		}
		t.Skip("this test needs shellcheck")
	}
	scripts, _ := filepath.Glob("*/compiled/seawall.sh")
	for _, pattern := range []string{"*/compiled/*/seawall.sh", "*/compiled/before.init", "systems/*/before.init"} {
		more, _ := filepath.Glob(pattern)
		scripts = append(scripts, more...)
	}
	scripts = append(scripts, setScript(t))
	if len(scripts) < 10 {
		t.Fatalf("only %d scripts", len(scripts))
	}
	if out, err := exec.Command(shellcheck, append([]string{"--shell=sh", "--enable=all", "--exclude=SC2250,SC2310,SC2312"}, scripts...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
