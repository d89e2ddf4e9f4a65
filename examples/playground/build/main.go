// Command build writes the playground into a folder, ready to be served by anything that serves
// files.
//
//	go run ./examples/playground/build [-repo DIR] DIR
//
// The same revision and Go version give the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/playground"
)

func main() {
	repo := flag.String("repo", ".", "the root of the repository")
	version := flag.String("version", "", "what the page says it was built from")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: build [-repo DIR] [-version TEXT] DIR")
		os.Exit(2)
	}
	if err := build(*repo, *version, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func build(repo, version, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return copyPage(filepath.Join(repo, "examples/playground/page"), out) },
		func() error { return write(out, "frame.css", []byte(page.Style())) },
		func() error { return writeData(repo, version, out) },
		func() error { return copyLoader(out) },
		func() error { return buildWASM(repo, out) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file of the folder.
func write(out, name string, text []byte) error {
	return os.WriteFile(filepath.Join(out, name), text, 0o644)
}

// copyPage copies the page's own files. The style of a rendered page, which is shown in a frame
// and has its style inside of it, is one that the page's policy must name.
func copyPage(from, out string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(page.Style()))
	hash := []byte("sha256-" + base64.StdEncoding.EncodeToString(sum[:]))
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := write(out, f.Name(), bytes.ReplaceAll(text, []byte("STYLE-HASH"), hash)); err != nil {
			return err
		}
	}
	return nil
}

// example is a policy that the page offers.
type example struct {
	Name     string            `json:"name"`
	Title    string            `json:"title"`
	Files    map[string]string `json:"files"`
	VarFiles []string          `json:"var_files"`
}

// choice is a format, with the layouts that it has.
type choice struct {
	Name    string   `json:"name"`
	Summary string   `json:"summary"`
	Layouts []string `json:"layouts"`
}

// writeData writes what the page offers: the policies of the examples, and the formats.
func writeData(repo, version, out string) error {
	examples, err := readExamples(filepath.Join(repo, "examples"))
	if err != nil {
		return err
	}
	var formats []choice
	for _, f := range emit.Formats() {
		formats = append(formats, choice{f.Name, f.Summary, playground.Layouts(f)})
	}
	var b bytes.Buffer
	for _, x := range []struct {
		name  string
		value any
	}{{"examples", examples}, {"formats", formats}, {"version", version}} {
		text, err := json.MarshalIndent(x.value, "", " ")
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "export const %s = %s;\n", x.name, text)
	}
	return write(out, "data.js", b.Bytes())
}

// readExamples reads the folders that have a policy.
func readExamples(dir string) ([]example, error) {
	policies, err := filepath.Glob(filepath.Join(dir, "*", "policy.hcl"))
	if err != nil || len(policies) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s has no examples", dir))
	}
	var list []example
	for _, p := range policies {
		x := example{Name: filepath.Base(filepath.Dir(p)), Files: map[string]string{}, VarFiles: []string{}}
		for _, pattern := range []string{"*.hcl", "*.txt"} {
			files, err := filepath.Glob(filepath.Join(filepath.Dir(p), pattern))
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					return nil, err
				}
				name := filepath.Base(f)
				x.Files[name] = string(text)
				if strings.HasSuffix(name, ".vars.hcl") && len(x.VarFiles) == 0 {
					x.VarFiles = []string{name}
				}
			}
		}
		x.Title = titleOf(x)
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b example) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// titleOf is the first sentence of the comment that a policy starts with.
func titleOf(x example) string {
	var words []string
	for line := range strings.Lines(x.Files["policy.hcl"]) {
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(text)...)
	}
	title, _, _ := strings.Cut(strings.Join(words, " "), ". ")
	return strings.TrimSuffix(title, ".")
}

// copyLoader copies what loads Go's programs in a browser; it belongs to the version of Go.
func copyLoader(out string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/wasm_exec.js"))
	if err != nil {
		return err
	}
	return write(out, "wasm_exec.js", text)
}

// buildWASM builds the compiler. It is compressed here, because not every server does it, and
// the page decompresses it.
func buildWASM(repo, out string) error {
	temp, err := os.MkdirTemp("", "playground")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	program := filepath.Join(temp, "seawall.wasm")
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", program, "./examples/playground/wasm")
	c.Dir, c.Stderr = repo, os.Stderr
	c.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if err := c.Run(); err != nil {
		return fmt.Errorf("go build for js/wasm: %w", err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return write(out, "seawall.wasm.gz", b.Bytes())
}
