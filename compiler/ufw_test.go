package compiler_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
)

// after is the beginning of ufw's after.rules, which names a chain of before.rules.
const after = "*filter\n:ufw-after-input - [0:0]\n-A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input\nCOMMIT\n"

const ufwPolicy = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"admin\" {\n  ports = [8080]\n  allow { sources = [\"192.168.0.1\"] }\n}\n"

// What a file of ufw's does before the jumps of before.init counts, and what it does
// behind them does not.
func TestUFWFilesAreProvedInPlace(t *testing.T) {
	doc := document(t, ufwPolicy)
	for _, test := range []struct {
		base string
		open bool // so that nothing is written
	}{
		{after, false},
		{after + "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n", false},
		{after + "*filter\n-A FORWARD -i eth0 -j ACCEPT\n-A ufw-before-input -p tcp --dport 8080 -j ACCEPT\nCOMMIT\n", false},
		{after + "*filter\n:FORWARD ACCEPT [0:0]\n:INPUT DROP [0:0]\nCOMMIT\n", false},
		{after + "*filter\n-I FORWARD -i eth0 -j ACCEPT\nCOMMIT\n", true},
		{after + "*filter\n-I INPUT -p tcp --dport 8080 -j ACCEPT\nCOMMIT\n", true},
		{after + "*filter\n-F INPUT\nCOMMIT\n", true},
		{after + "*filter\n-D FORWARD 1\nCOMMIT\n", true},
	} {
		out, err := compiler.Compile(context.Background(), doc, compiler.Options{Format: emit.UFW, Base4: []byte(test.base), Source: "policy.hcl"})
		if unproved, ok := errors.AsType[*compiler.Unproved](err); ok != test.open || ok && (!unproved.Base || unproved.File != "after.rules") {
			t.Errorf("%s: %v, want it refused: %t", test.base, err, test.open)
			continue
		}
		if !test.open && (err != nil || !strings.HasPrefix(string(out.Files[0].Bytes), test.base) || len(out.Notes) > 0) {
			t.Errorf("%s: %v", test.base, err)
		}
	}
}

// ufw-docker fills DOCKER-USER as well: its block is replaced only where the user says so.
func TestUFWDocker(t *testing.T) {
	doc := document(t, ufwPolicy)
	block := "# BEGIN UFW AND DOCKER\n*filter\n:ufw-user-forward - [0:0]\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j ufw-user-forward\n-A DOCKER-USER -j RETURN\nCOMMIT\n# END UFW AND DOCKER\n"
	opt := compiler.Options{Format: emit.UFW, Base4: []byte(after + block + "# mine\n"), Source: "policy.hcl"}
	_, err := compiler.Compile(context.Background(), doc, opt)
	found, ok := errors.AsType[*compiler.UFWDockerError](err)
	if !ok || found.First != 5 || found.Last != 12 {
		t.Fatal(err)
	}
	opt.Force = true
	out, err := compiler.Compile(context.Background(), doc, opt)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(out.Files[0].Bytes); !strings.HasPrefix(text, after+"# mine\n# seawall: begin\n") || strings.Contains(text, "UFW AND DOCKER") {
		t.Errorf("the file is:\n%s", text)
	}
	if len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "lines 5 to 12, the block of ufw-docker, were removed") {
		t.Errorf("the notes are %q", out.Notes)
	}
	// Rules of others without its marks are refused as everywhere.
	opt = compiler.Options{Format: emit.UFW, Base4: []byte(after + strings.NewReplacer("# BEGIN UFW AND DOCKER\n", "", "# END UFW AND DOCKER\n", "").Replace(block))}
	if _, err := compiler.Compile(context.Background(), doc, opt); err == nil {
		t.Error("rules of others in DOCKER-USER were taken out without a word")
	}
}
