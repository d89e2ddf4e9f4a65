//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// fleet is two hosts that the Ansible example manages, each a namespace with
// files of its own; the connection is local, and the host's Python runs in the
// namespace.
type fleet struct {
	t         *testing.T
	dir       string
	backend   Backend
	hosts     map[string]*Namespace
	inventory string
}

func newFleet(t *testing.T, b Backend) *fleet {
	t.Helper()
	Need(t, "ansible-playbook", "python3")
	f := &fleet{t: t, dir: t.TempDir(), backend: b, hosts: map[string]*Namespace{}}
	if out, err := exec.Command("cp", "-r", "../../../examples/ansible", f.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	inventory := "[docker]\n"
	for _, name := range []string{"web1", "db1"} {
		n := NewNamespace(t, name)
		f.hosts[name] = n
		python := f.file(name+"-python", "#!/bin/sh\nexec nsenter --net="+n.Path()+" python3 \"$@\"\n", 0o755)
		if err := os.MkdirAll(filepath.Join(f.dir, name, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		inventory += fmt.Sprintf("%s ansible_connection=local ansible_python_interpreter=%s seawall_boot_v4=%s seawall_boot_v6=%s seawall_system=rhel seawall_script=%s\n",
			name, python, f.path(name, "iptables"), f.path(name, "ip6tables"), filepath.Join(f.dir, name, "etc", "seawall", "seawall.sh"))
	}
	// The controller's own Python is outside.
	inventory += "[all:vars]\nseawall_become=false\nseawall_program=" + mustSeawall(t) + "\nseawall_iptables=" + b.Command(4, "") + "\nseawall_ip6tables=" + b.Command(6, "") + "\n"
	f.inventory = f.file("hosts.ini", inventory, 0o600)
	return f
}

func (f *fleet) path(host, name string) string { return filepath.Join(f.dir, host, "etc", name) }

func (f *fleet) file(name, text string, mode os.FileMode) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// play runs the playbook, and gives what it printed and whether it succeeded.
func (f *fleet) play(args ...string) (string, bool) {
	f.t.Helper()
	c := exec.Command("ansible-playbook", append([]string{"-i", f.inventory, filepath.Join(f.dir, "ansible", "site.yml")}, args...)...)
	c.Env = append(os.Environ(), "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0", "ANSIBLE_HOME="+f.dir,
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(f.dir, "tmp"), "ANSIBLE_REMOTE_TEMP="+filepath.Join(f.dir, "tmp"), "ANSIBLE_NOCOWS=1", "ANSIBLE_PYTHON_INTERPRETER=auto_silent")
	out, err := c.CombinedOutput()
	return string(out), err == nil
}

var recap = regexp.MustCompile(`(?m)^(\w+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)`)

// changed returns the number of changes by host.
func changed(out string) map[string]string {
	list := map[string]string{}
	for _, m := range recap.FindAllStringSubmatch(out, -1) {
		list[m[1]] = m[3]
	}
	return list
}

func (f *fleet) policy(host string) *schema.Document {
	f.t.Helper()
	dir := filepath.Join(f.dir, "ansible", "policies")
	loaded, diags := schema.Load(dir, schema.Options{VarFiles: []string{filepath.Join(dir, host+".vars.hcl")}})
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	return loaded.Document
}

// means demands that a host's kernel and its boot files mean its policy, or
// that the kernel does not.
func (f *fleet) means(when string, want bool) {
	f.t.Helper()
	for host, n := range f.hosts {
		for _, family := range families {
			texts := map[string]string{"the kernel": f.backend.Save(n, family, "filter")}
			if want {
				boot, err := os.ReadFile(f.path(host, map[packet.Family]string{4: "iptables", 6: "ip6tables"}[family]))
				if err != nil {
					f.t.Fatal(err)
				}
				texts["the boot file"] = string(boot)
			}
			for what, text := range texts {
				file, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
				if err != nil {
					f.t.Fatal(err)
				}
				result, err := prove.Compare(context.Background(), f.policy(host), file.Table("filter"), family, prove.Limits{})
				if err != nil || result.Equal() != want {
					f.t.Errorf("%s: %s of %s over IPv%d implements the policy: %t, want %t (%v)", when, what, host, family, !want, want, err)
				}
			}
		}
	}
}

// The role in real Ansible: check mode changes nothing and says what would
// change, a run loads and verifies, the second one changes nothing, a change of
// one host's variables changes that host, and what cannot be verified is rolled
// back.
func TestAnsibleRole(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			f := newFleet(t, b)
			own := "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
			if err := os.WriteFile(f.path("web1", "iptables"), []byte(own), 0o600); err != nil {
				t.Fatal(err)
			}

			out, ok := f.play("--check", "--diff")
			if !ok || !strings.Contains(out, "-A FORWARD -j DOCKER-USER") || !strings.Contains(out, " in meaning: ") {
				t.Fatalf("check mode:\n%s", out)
			}
			f.means("after check mode", false)

			if out, ok = f.play(); !ok || strings.Contains(out, "changed=0") {
				t.Fatalf("the first run:\n%s", out)
			}
			f.means("after the first run", true)
			if !*long {
				return // a play takes half a minute beside other tests
			}
			if text, err := os.ReadFile(f.path("web1", "iptables")); err != nil || !strings.Contains(string(text), "--dport 22 -j ACCEPT") {
				t.Errorf("the host's own rule is not in its boot file: %v\n%s", err, text)
			}

			out, ok = f.play()
			if got := changed(out); !ok || got["web1"] != "0" || got["db1"] != "0" {
				t.Errorf("the second run changed something: %v\n%s", got, out)
			}

			f.edit("db1.vars.hcl", "10.8.0.0/16", "10.9.0.0/16")
			out, ok = f.play("--diff")
			if got := changed(out); !ok || got["web1"] != "0" || got["db1"] == "0" {
				t.Errorf("a change of db1 alone: %v\n%s", got, out)
			}
			if !strings.Contains(out, "+ 10.9.0.0/16 → policy ") || !strings.Contains(out, "- 10.8.0.0/16 → policy ") {
				t.Errorf("the change in meaning is not shown:\n%s", out)
			}
			f.means("after a change", true)

			f.rollBack()
		})
	}
}

func (f *fleet) edit(name, old, fresh string) {
	f.t.Helper()
	path := filepath.Join(f.dir, "ansible", "policies", name)
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), old) {
		f.t.Fatalf("%s: %v\n%s", path, err, text)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, fresh, 1)), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// rollBack makes the check after the load fail, by a program that says that
// nothing implements the policy, and demands that the previous rules are there.
func (f *fleet) rollBack() {
	f.t.Helper()
	before := map[string]string{}
	state := func(n *Namespace) string {
		return counters.ReplaceAllString(f.backend.Save(n, 4, "filter")+f.backend.Save(n, 6, "filter"), "")
	}
	for host, n := range f.hosts {
		before[host] = state(n)
	}
	f.edit("db1.vars.hcl", "10.9.0.0/16", "10.10.0.0/16")
	doubter := f.file("doubter", "#!/bin/sh\n[ \"$1\" != verify ] || exit 2\nexec "+mustSeawall(f.t)+" \"$@\"\n", 0o755)
	out, ok := f.play("-e", "seawall_program="+doubter)
	if ok || !strings.Contains(out, "The host has its previous rules.") {
		f.t.Errorf("a load that cannot be verified:\n%s", out)
	}
	for host, n := range f.hosts {
		if now := state(n); now != before[host] {
			f.t.Errorf("%s does not have its previous rules:\n%s\nwant\n%s", host, now, before[host])
		}
	}
}
