package compiler_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/diff"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// hostPolicy is a policy whose lists are shared by some hosts, and a little different on
// others.
const hostPolicy = `
host {
  external       = [var.interface]
  unlisted       = "deny"
  userland_proxy = %s
  log_limit      = var.limit
}
variable "limit" { default = "10/minute" }
variable "interface" { default = "eth0" }
variable "ip" { type = string }
variable "admins" {
  type    = list(string)
  default = ["192.0.2.1"]
}
variable "port" { default = 443 }
variable "verdict" { default = "deny" }
set "corp" { files = ["corp.txt"] }
set "most" {
  sources = set.corp
  except  = var.admins
}
guard {
  deny { sources = "203.0.113.0/24" }
}
policy "web" {
  ports   = [var.port, "53/udp"]
  address = var.ip
  allow { sources = set.corp }
  allow { sources = var.admins }
}
policy "db" {
  ports   = 5432
  address = [var.ip, "10.9.9.9"]
  default = var.verdict
  allow { sources = %s }
}
policy "most" {
  ports = 6000
  deny {
    sources = set.most
    log     = "most: "
  }
  default = "allow"
}
`

// hostVariables are those of hosts that share much.
func hostVariables() []string {
	var list []string
	for i := range 24 {
		text := fmt.Sprintf("ip = \"10.0.0.%d\"\n", i+1)
		switch i % 6 {
		case 1:
			text += fmt.Sprintf("admins = [\"192.0.2.%d\", \"2001:db8::%d\"]\n", i, i)
		case 2:
			text += "port = 8443\n"
		case 3:
			text += "interface = \"wan0\"\nverdict = \"reject\"\n"
		case 4:
			text += "admins = [\"11.0.0.0/8\"]\n"
		case 5:
			text += "limit = \"5/second\"\n"
		}
		list = append(list, text)
	}
	return list
}

// loadHosts loads a policy for each of the hosts, sharing what can be shared, and alone.
func loadHosts(t *testing.T, policy string) (shared, alone []*schema.Document) {
	dir := t.TempDir()
	var list bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&list, "%d.%d.%d.0/24\n", 11+i%90, i/90, i*7%251)
	}
	list.WriteString("2001:db8:1::/48\n")
	path := filepath.Join(dir, "main.hcl")
	write := func(name string, text []byte) {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, []byte(policy))
	write(filepath.Join(dir, "corp.txt"), list.Bytes())
	several := schema.NewSeveral(path, schema.Options{})
	for i, text := range hostVariables() {
		file := filepath.Join(dir, fmt.Sprintf("h%d.vars.hcl", i))
		write(file, []byte(text))
		one, diags := several.Load(file)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		other, diags := schema.Load(path, schema.Options{VarFiles: []string{file}})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		shared, alone = append(shared, one.Document), append(alone, other.Document)
	}
	return shared, alone
}

// TestHostsCompileTheSame compiles for hosts with one memory, and for each alone.
func TestHostsCompileTheSame(t *testing.T) {
	shared, alone := loadHosts(t, fmt.Sprintf(hostPolicy, "true", `[set.corp, "198.51.100.0/24"]`))
	for _, opt := range []compiler.Options{{}, {Format: emit.Restore}, {Format: emit.NFTables}, {Layout: lower.IPSet}, {Layout: lower.Flat}, {Format: emit.Shell, Comments: lower.Lines}} {
		memory := compiler.NewMemory()
		for i := range shared {
			want, err := compiler.Compile(context.Background(), alone[i], opt)
			if err != nil {
				t.Fatal(err)
			}
			with := opt
			with.Memory = memory
			got, err := compiler.Compile(context.Background(), shared[i], with)
			if err != nil {
				t.Fatal(err)
			}
			for j := range want.Files {
				if !bytes.Equal(want.Files[j].Bytes, got.Files[j].Bytes) {
					t.Fatalf("host %d, %s: another text with the memory:\n%s", i, want.Files[j].Name, cmp.Diff(string(want.Files[j].Bytes), string(got.Files[j].Bytes)))
				}
			}
		}
	}
}

// TestHostsDifferTheSame compares two policies for hosts with one memory, and for each
// alone: the changes are the same, but for how their own addresses are named.
func TestHostsDifferTheSame(t *testing.T) {
	before, beforeAlone := loadHosts(t, fmt.Sprintf(hostPolicy, "true", `[set.corp, "198.51.100.0/24"]`))
	after, afterAlone := loadHosts(t, fmt.Sprintf(hostPolicy, "true", `[set.corp, "198.51.100.0/25", var.admins]`))
	memory := compiler.NewMemory()
	names := make([]string, len(before))
	gathering := diff.Gather(names)
	for i := range before {
		names[i] = fmt.Sprint("h", i)
		want, err := compiler.Diff(context.Background(), sidesOf(beforeAlone[i], afterAlone[i]), prove.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := compiler.DiffHost(context.Background(), sidesOf(before[i], after[i]), prove.Limits{}, memory)
		if err != nil {
			t.Fatal(err)
		}
		gathering.Add(i, got)
		if diff := cmp.Diff(facts(want), facts(got)); diff != "" {
			t.Errorf("host %d:\n%s", i, diff)
		}
	}
	if text := gathering.Hosts().Text(); bytes.Contains([]byte(text), []byte("10.0.0.")) {
		t.Errorf("the addresses of hosts keep them apart:\n%s", text)
	}
}

func sidesOf(before, after *schema.Document) diff.Sides {
	sides := diff.Sides{}
	for _, f := range packet.Families {
		sides[f] = [2]prove.Side{{Policy: before}, {Policy: after}}
	}
	return sides
}

// facts are what a report says, but for its words.
func facts(r *diff.Report) []string {
	var list []string
	for _, c := range r.Changes {
		list = append(list, fmt.Sprint(c.Family, c.Hooks, c.Effect, c.Old, c.New, c.Policy, c.Sources, c.AllBut, c.Ports, c.Fields, c.Example, c.Severity))
	}
	return list
}
