package playground

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/playground"
)

// contains reports whether one of the lines is a text.
func contains(lines []byte, text string) bool {
	return slices.Contains(strings.Split(string(lines), "\n"), text)
}

// asked is what the page asks, and the command that says the same.
type asked struct {
	name    string
	request playground.Request
	args    []string // in the folder of the policy; OUT and OLD are folders
	said    func(*playground.Answer) (map[string]string, error)
}

// policies are those of the examples, one for each host that has variables, and one with
// mistakes.
func policies(t *testing.T) map[string]playground.Policy {
	t.Helper()
	found, err := filepath.Glob("../*/policy.hcl")
	if err != nil || len(found) < 8 {
		t.Fatalf("%d examples, %v", len(found), err)
	}
	list := map[string]playground.Policy{}
	for _, p := range found {
		dir := filepath.Dir(p)
		files := map[string]string{}
		vars := []string{}
		for _, pattern := range []string{"*.hcl", "*.txt"} {
			names, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, n := range names {
				text, err := os.ReadFile(n)
				if err != nil {
					t.Fatal(err)
				}
				files[filepath.Base(n)] = string(text)
				if strings.HasSuffix(n, ".vars.hcl") {
					vars = append(vars, filepath.Base(n))
				}
			}
		}
		name := filepath.Base(dir)
		if len(vars) == 0 {
			list[name] = playground.Policy{Files: files}
		}
		for _, v := range vars {
			list[name+" "+v] = playground.Policy{Files: files, VarFiles: []string{v}}
		}
	}
	list["mistakes"] = playground.Policy{Files: map[string]string{
		"policy.hcl": "# Größe: ∞\nhost {\n  external = [\"eth0\"]\n  unlisted = \"denny\"\n}\nset \"s\" {\n  files = [\"list.txt\", \"gone.txt\"]\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [set.t] }\n}\n",
		"list.txt":   "192.0.2.1\n  192.0.2.300 # no\n",
	}}
	list["findings"] = playground.Policy{Files: map[string]string{
		"policy.hcl": "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"nobody\" {\n  sources = [\"192.0.2.1\"]\n}\npolicy \"postgres\" {\n  ports = [5432]\n  allow { sources = any }\n}\ntest \"t\" {\n  to = [5432]\n  deny = [\"8.8.8.8\"]\n}\n",
	}}
	return list
}

// all is what is asked of every policy.
func all(t *testing.T) []asked {
	t.Helper()
	var list []asked
	found := policies(t)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		p := found[name]
		for _, f := range emit.Formats() {
			for _, layout := range playground.Layouts(f) {
				list = append(list, asked{name + ", " + f.Name + ", " + layout, playground.Request{Policy: p, Format: f.Name, Layout: layout},
					[]string{"compile", ".", "--out-dir", "OUT", "--format", f.Name, "--layout", layout}, files})
			}
			before := changed(p)
			list = append(list, asked{name + ", diff of " + f.Name, playground.Request{Policy: p, Before: &before, Format: f.Name},
				[]string{"diff", "OLD", ".", "--files", f.Name}, func(a *playground.Answer) (map[string]string, error) { return text(a.Diff) }})
		}
		for _, packet := range []playground.Packet{{From: "10.8.13.5", To: "5432"}, {From: "203.0.113.9", To: "443"}, {From: "2001:db8:40::7", To: "25", Chain: "input"},
			{From: "198.51.100.7", To: "203.0.113.7:8080/tcp", Chain: "forward"}, {From: "2001:db8::1", To: "53/udp"}, {From: "1.2.3", To: "53"}, {From: "1.2.3.4", To: "x"}} {
			args := []string{"explain", ".", "--from", packet.From, "--to", packet.To}
			if packet.Chain != "" {
				args = append(args, "--chain", packet.Chain)
			}
			list = append(list, asked{fmt.Sprint(name, ", explain ", packet), playground.Request{Policy: p, Explain: &packet}, args,
				func(a *playground.Answer) (map[string]string, error) { return text(a.Explain) }})
		}
		list = append(list,
			asked{name + ", render", playground.Request{Policy: p, Render: true}, []string{"render", ".", "--format", "html"},
				func(a *playground.Answer) (map[string]string, error) { return said(a.Page) }},
			asked{name + ", validate", playground.Request{Policy: p}, []string{"validate", ".", "--json"}, validated})
	}
	for i := range list {
		for _, v := range list[i].request.Policy.VarFiles {
			list[i].args = append(list[i].args, "--var-file", v)
		}
	}
	return list
}

// changed is another policy: one more port is open, to everybody.
func changed(p playground.Policy) playground.Policy {
	other := playground.Policy{Files: maps.Clone(p.Files), VarFiles: p.VarFiles}
	other.Files["policy.hcl"] += "\npolicy \"another\" {\n  ports = [9999]\n  allow { sources = any }\n}\n"
	return other
}

// errNothing is for what is not answered.
var errNothing = errors.New("there is no answer")

func files(a *playground.Answer) (map[string]string, error) {
	if len(a.Files) == 0 {
		return nil, errNothing
	}
	list := map[string]string{}
	for _, f := range a.Files {
		list[f.Name] = f.Text
	}
	return list, nil
}

func text(x *playground.Text) (map[string]string, error) {
	if x == nil || x.Failure != "" {
		return nil, errNothing
	}
	return said(x.Text)
}

func said(text string) (map[string]string, error) {
	if text == "" {
		return nil, errNothing
	}
	return map[string]string{"": text}, nil
}

// validated are findings as validate writes them.
func validated(a *playground.Answer) (map[string]string, error) {
	type finding struct {
		Severity string `json:"severity"`
		Code     string `json:"code,omitempty"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail,omitempty"`
		File     string `json:"file,omitempty"`
		Line     int    `json:"line,omitempty"`
		Column   int    `json:"column,omitempty"`
	}
	list := []finding{}
	for _, f := range a.Findings {
		one := finding{Severity: f.Severity, Code: f.Code, Summary: f.Summary, Detail: f.Detail}
		if f.Place != nil {
			one.File, one.Line, one.Column = f.File, f.Line, f.Column
		}
		list = append(list, one)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	err := e.Encode(list)
	return map[string]string{"": b.String()}, err
}

// outcome is what a command wrote.
type outcome struct {
	texts map[string]string
	err   error
}

// outcomes are those of commands that were run before, by name: two tests need them.
var outcomes = map[string]outcome{}

// commanded is what the command writes: the files of its folder, or its output; errNothing where
// it fails.
func commanded(t *testing.T, program string, x asked) (map[string]string, error) {
	t.Helper()
	if _, ok := outcomes[x.name]; !ok {
		texts, err := execute(t, program, x)
		outcomes[x.name] = outcome{texts, err}
	}
	return outcomes[x.name].texts, outcomes[x.name].err
}

func execute(t *testing.T, program string, x asked) (map[string]string, error) {
	t.Helper()
	dir, old, out := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, dir, x.request.Policy)
	if x.request.Before != nil {
		put(t, old, *x.request.Before)
	}
	args := slices.Clone(x.args)
	for i, a := range args {
		args[i] = map[string]string{"OUT": out, "OLD": old}[a]
		if args[i] == "" {
			args[i] = a
		}
	}
	c := exec.Command(program, args...)
	c.Dir = dir
	stdout, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && args[0] != "validate" {
		return nil, errNothing
	}
	if err != nil && exit == nil {
		t.Fatal(err)
	}
	if args[0] != "compile" {
		return map[string]string{"": string(stdout)}, nil
	}
	list := map[string]string{}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		src, err := os.ReadFile(filepath.Join(out, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		list[e.Name()] = string(src)
	}
	return list, nil
}

func put(t *testing.T, dir string, p playground.Policy) {
	t.Helper()
	for name, text := range p.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares what the playground says with what the command says.
func same(t *testing.T, program string, x asked, a *playground.Answer) (compared bool) {
	t.Helper()
	want, wantErr := commanded(t, program, x)
	got, err := x.said(a)
	if err != wantErr || !maps.Equal(got, want) {
		t.Errorf("%s: %v, the command %v\n%s", x.name, err, wantErr, firstDifference(got, want))
	}
	return err == nil
}

func firstDifference(got, want map[string]string) string {
	for name := range want {
		if got[name] != want[name] {
			return fmt.Sprintf("%q: the playground says\n%.1500s\nthe command\n%.1500s", name, got[name], want[name])
		}
	}
	return fmt.Sprintf("files %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
}

// What the playground's package says is what the command says, to the byte.
func TestSaysWhatTheCommandSays(t *testing.T) {
	program, n := command(t), 0
	list := all(t)
	for _, x := range list {
		if same(t, program, x, x.request.Answer(context.Background())) {
			n++
		}
	}
	if n < len(list)*3/4 {
		t.Errorf("only %d of %d are answered", n, len(list))
	}
}

// And so does the program that the browser runs.
func TestWASMSaysWhatTheCommandSays(t *testing.T) {
	node := needs(t, "node")
	list := all(t)
	requests := make([]playground.Request, len(list))
	for i, x := range list {
		requests[i] = x.request
	}
	in, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(node, "testdata/ask.cjs", site(t))
	c.Stdin, c.Stderr = bytes.NewReader(in), os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(list) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	program := command(t)
	for i, x := range list {
		var a playground.Answer
		if err := json.Unmarshal([]byte(answers[i]), &a); err != nil {
			t.Fatal(err)
		}
		same(t, program, x, &a)
	}
}
