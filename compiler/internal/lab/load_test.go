//go:build linux

package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

var families = []packet.Family{packet.IPv4, packet.IPv6}

// chainFormats are the formats of iptables that are all there is; that of nft has
// scenarios of its own, and a part of another program's files needs that program.
var chainFormats = slices.DeleteFunc(slices.Clone(emit.Formats()), func(f *emit.Format) bool { return f.NFT || f.Hook != "" })

// compiledFolders are the compiled files of every example.
func compiledFolders(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../../../examples/*/compiled")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, dir := range list {
		if hosts, _ := filepath.Glob(dir + "/*/iptables"); len(hosts) > 0 {
			for _, h := range hosts {
				folders = append(folders, filepath.Dir(h))
			}
			continue
		}
		folders = append(folders, dir)
	}
	if len(folders) < 9 {
		t.Fatalf("only %d compiled examples", len(folders))
	}
	return folders
}

func exampleName(dir string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.Replace(dir, "/compiled", "", 1), "../../../examples/"), "/")
}

// ownChains are the lines of a rules file that declare or fill Seawall's chains,
// without a trailing RETURN of Docker's.
func ownChains(text string) []string {
	var list []string
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || line == "-A DOCKER-USER -j RETURN" {
			continue
		}
		if strings.HasPrefix(line, ":") && iptables.Owned(fields[0][1:]) || fields[0] == "-A" && iptables.Owned(fields[1]) {
			list = append(list, line)
		}
	}
	return list
}

// byChain sorts a file's lines by chain, for legacy iptables-save lists chains
// by name; the order within a chain stays.
func byChain(lines []string) map[string][]string {
	chains := map[string][]string{}
	for _, line := range lines {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], ":")
		if fields[0] == "-A" {
			name = fields[1]
		}
		chains[name] = append(chains[name], line)
	}
	return chains
}

// Every example, in every format, both families and both back ends, loads
// without a word, and what the kernel then holds is the file's own text.
// Loading restore and shell again changes nothing.
func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	Need(t)
	for _, dir := range compiledFolders(t) {
		for _, format := range chainFormats {
			for _, b := range Backends {
				t.Run(exampleName(dir)+"/"+format.Name+"/"+string(b), func(t *testing.T) {
					t.Parallel()
					n := NewNamespace(t, "host")
					load(t, b, n, format.Name, dir)
					first := map[packet.Family]string{}
					for _, f := range families {
						first[f] = b.Save(n, f, "filter")
						want := fileText(t, dir, format, f)
						if diff := cmp.Diff(byChain(ownChains(want)), byChain(ownChains(first[f]))); diff != "" {
							t.Errorf("IPv%d: the kernel holds another text than the file:\n%s", f, diff)
						}
					}
					if format == emit.Sysconfig {
						return
					}
					load(t, b, n, format.Name, dir)
					for _, f := range families {
						if diff := cmp.Diff(first[f], b.Save(n, f, "filter")); diff != "" {
							t.Errorf("IPv%d: loading again changed:\n%s", f, diff)
						}
					}
				})
			}
		}
	}
}

// The other layouts load as well: trees and sets, for a policy that has all that
// there is, in every format and both back ends, also when they are there already,
// and over each other.
func TestLayoutsLoad(t *testing.T) {
	t.Parallel()
	Need(t)
	loaded, diags := schema.Load("../../../examples/mail", schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, b := range Backends {
		for _, format := range chainFormats {
			t.Run(format.Name+"/"+string(b), func(t *testing.T) {
				t.Parallel()
				n := NewNamespace(t, "host")
				for _, layout := range []lower.Layout{lower.Indexed, lower.IPSet, lower.Indexed, lower.Flat, lower.IPSet} {
					out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: format, Layout: layout, Sizes: lower.Sizes{Leaf: 1, Inline: 1, Linear: 2}})
					if err != nil {
						t.Fatal(err)
					}
					dir := t.TempDir()
					if _, err := emit.Write(dir, out.Files); err != nil {
						t.Fatal(err)
					}
					for range 2 {
						load(t, b, n, format.Name, dir)
						if format == emit.Restore {
							jumpsByHand(t, n, b)
						}
						for _, f := range families {
							result, err := prove.Compare(context.Background(), loaded.Document, b.Table(n, f), f, prove.Limits{})
							if err != nil || !result.Equal() {
								t.Errorf("%s, IPv%d: the kernel does not hold the policy: %v, %v", layout, f, result, err)
							}
							want := byChain(ownChains(fileText(t, dir, format, f)))
							got := byChain(ownChains(b.Save(n, f, "filter")))
							for chain, lines := range want {
								if diff := cmp.Diff(lines, got[chain]); diff != "" {
									t.Errorf("%s, IPv%d: the kernel holds another text:\n%s", layout, f, diff)
								}
							}
						}
					}
				}
			})
		}
	}
}

func load(t *testing.T, b Backend, n *Namespace, format, dir string) {
	t.Helper()
	said, err := b.Load(n, format, dir)
	if err != nil || said != "" {
		t.Fatalf("loading said %q, %v", said, err)
	}
}

func fileText(t *testing.T, dir string, format *emit.Format, f packet.Family) string {
	t.Helper()
	name := map[*emit.Format][2]string{emit.Sysconfig: {"iptables", "ip6tables"}, emit.Restore: {"rules.v4", "rules.v6"},
		emit.Shell: {"seawall.sh", "seawall.sh"}}[format][(f-4)/2]
	src, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := emit.Rules(emit.File{Name: name, Bytes: src, Executable: format == emit.Shell}, f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Over the state of a running host, a restore file changes nothing of Docker's.
func TestRestoreLeavesDockerAlone(t *testing.T) {
	t.Parallel()
	Need(t)
	captures, err := filepath.Glob("../../../testdata/captures/*tables-save")
	if err != nil || len(captures) < 4 {
		t.Fatalf("%d captures, %v", len(captures), err)
	}
	for _, capture := range captures {
		for _, b := range Backends {
			for _, format := range []string{"restore", "shell"} {
				t.Run(filepath.Base(capture)+"/"+string(b)+"/"+format, func(t *testing.T) {
					t.Parallel()
					f := packet.IPv4
					if strings.HasSuffix(capture, "ip6tables-save") {
						f = packet.IPv6
					}
					src, err := os.ReadFile(capture)
					if err != nil {
						t.Fatal(err)
					}
					n := NewNamespace(t, "host")
					if out, err := n.Run(bytes.NewReader(src), b.Command(f, "-restore")); err != nil {
						t.Fatalf("the capture does not load: %v\n%s", err, out)
					}
					before := foreignText(b, n, f)
					load(t, b, n, format, "../../../examples/web/compiled")
					load(t, b, n, format, "../../../examples/web/compiled")
					if diff := cmp.Diff(before, foreignText(b, n, f)); diff != "" {
						t.Errorf("changed:\n%s", diff)
					}
					if got := ownChains(b.Save(n, f, "filter")); len(got) < 5 {
						t.Errorf("the policy is not there: %v", got)
					}
				})
			}
		}
	}
}

// foreignText is everything that is not Seawall's, in all tables of a capture.
func foreignText(b Backend, n *Namespace, f packet.Family) string {
	var kept []string
	for _, table := range []string{"raw", "filter", "nat"} {
		for _, line := range strings.Split(b.Save(n, f, table), "\n") {
			fields := strings.Fields(line)
			own := len(fields) > 1 && (iptables.Owned(strings.TrimPrefix(fields[0], ":")) || fields[0] == "-A" && iptables.Owned(fields[1]))
			jump := line == "-A INPUT -j SEAWALL-INPUT" || line == "-A FORWARD -j DOCKER-USER"
			if !own && !jump {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "\n")
}
