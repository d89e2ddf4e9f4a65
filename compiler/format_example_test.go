package compiler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// openRC is a format that Seawall does not have: the files that Alpine's and
// Gentoo's iptables service loads at boot. This file is all there is of it; what
// it writes is proved like every other format's.
var openRC = &emit.Format{
	Name: "openrc", Summary: "rules-save and rules6-save for OpenRC, loaded at boot",
	Files: func(c *emit.Chains) []emit.File {
		return []emit.File{
			{Name: "rules-save", Bytes: ruleSave(c.V4, c.ToHost), Families: []packet.Family{packet.IPv4}},
			{Name: "rules6-save", Bytes: ruleSave(c.V6, c.ToHost), Families: []packet.Family{packet.IPv6}},
		}
	},
}

func ruleSave(t *iptables.Table, toHost bool) []byte {
	var b bytes.Buffer
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	iptables.PrintDeclarations(&b, t)
	if toHost {
		b.WriteString("[0:0] -A INPUT -j SEAWALL-INPUT\n")
	}
	b.WriteString("[0:0] -A FORWARD -j DOCKER-USER\n")
	iptables.PrintRules(&b, t)
	b.WriteString("COMMIT\n")
	return b.Bytes()
}

// A format is a value, so a program can bring its own.
func ExampleCompile_format() {
	loaded, diags := schema.Load("../examples/one-port", schema.Options{})
	if diags.HasErrors() {
		fmt.Println(diags)
		return
	}
	out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: openRC, Source: "policy.hcl"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s:\n%s", out.Files[0].Name, out.Files[0].Bytes)
	// Output:
	// rules-save:
	// *filter
	// :INPUT ACCEPT [0:0]
	// :FORWARD ACCEPT [0:0]
	// :OUTPUT ACCEPT [0:0]
	// :DOCKER-USER - [0:0]
	// :SEAWALL-INPUT - [0:0]
	// [0:0] -A INPUT -j SEAWALL-INPUT
	// [0:0] -A FORWARD -j DOCKER-USER
	// # policy admin
	// -A DOCKER-USER ! -s 192.168.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
	// # policy admin
	// -A SEAWALL-INPUT ! -s 192.168.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
	// # INVALID packets to ports of policies: they bypass DNAT, and docker-proxy would answer them
	// -A SEAWALL-INPUT -i eth0 -p tcp -m conntrack --ctstate INVALID -m tcp --dport 8080 -j DROP
	// COMMIT
}

// A format that loses a line is not written.
func TestAFormatIsProved(t *testing.T) {
	loaded, diags := schema.Load("../examples/one-port", schema.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, lost := range []string{"-A FORWARD -j DOCKER-USER\n", "-A INPUT -j SEAWALL-INPUT\n", "--ctorigdstport 8080 "} {
		careless := *openRC
		careless.Files = func(c *emit.Chains) []emit.File {
			files := openRC.Files(c)
			files[1].Bytes = bytes.ReplaceAll(bytes.ReplaceAll(files[1].Bytes, []byte("[0:0] -A"), []byte("-A")), []byte(lost), nil)
			return files
		}
		_, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: &careless, Source: "policy.hcl"})
		if _, ok := errors.AsType[*compiler.Unproved](err); !ok {
			t.Errorf("without %q: %v, want that it does not implement the policy", lost, err)
		}
	}
}
