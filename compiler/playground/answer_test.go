package playground_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/playground"
)

const host = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n"

func ask(r playground.Request) *playground.Answer { return r.Answer(context.Background()) }

func policy(files ...string) playground.Policy {
	p := playground.Policy{Files: map[string]string{}}
	for i := 0; i < len(files); i += 2 {
		p.Files[files[i]] = files[i+1]
	}
	return p
}

// The place of a mistake is one in the page's text, whatever stands before it.
func TestPlaces(t *testing.T) {
	text := "# Größe: ∞ 😀\r\n" + strings.Replace(host, `"deny"`, `"denny"`, 1)
	a := ask(playground.Request{Policy: policy("policy.hcl", text)})
	if len(a.Findings) != 1 || a.Findings[0].Place == nil {
		t.Fatalf("%+v", a.Findings)
	}
	at := a.Findings[0].Place
	if got := string(utf16.Decode(utf16.Encode([]rune(text))[at.Start:at.End])); got != `"denny"` || at.Line != 4 || at.File != "policy.hcl" {
		t.Errorf("%+v is %q", at, got)
	}
	if a.Summary != "" || a.Files != nil || a.Proof != "" {
		t.Errorf("a policy with a mistake has %+v", a)
	}
}

// A policy reads what is in the request, and nothing else.
func TestReadsOnlyTheRequest(t *testing.T) {
	for _, name := range []string{"/etc/passwd", "../answer.go", "answer.go"} {
		a := ask(playground.Request{Policy: policy("policy.hcl", host+"set \"s\" {\n  files = [\""+name+"\"]\n}\n")})
		if len(a.Findings) != 1 || a.Findings[0].Summary != "Cannot read a list file" {
			t.Errorf("%s: %+v", name, a.Findings)
		}
	}
	a := ask(playground.Request{Policy: policy("policy.hcl", host+"set \"s\" {\n  files = [\"lists/a.txt\"]\n}\npolicy \"p\" {\n  ports = [80]\n  allow { sources = [set.s] }\n}\n", "lists/a.txt", "192.0.2.1\n")})
	if len(a.Files) != 2 || !strings.Contains(a.Files[0].Text, "192.0.2.1/32") {
		t.Errorf("%+v", a)
	}
	if a := ask(playground.Request{}); len(a.Findings) != 1 || a.Findings[0].Summary != "No policy here" {
		t.Errorf("%+v", a.Findings)
	}
}

// What is proved is said of each file.
func TestProof(t *testing.T) {
	for format, want := range map[string]string{
		"restore":  "Proved for all packets: rules.v4 for IPv4 and rules.v6 for IPv6 implement the policy.",
		"nftables": "Proved for all packets: seawall.nft for IPv4 and IPv6 implements the policy.",
	} {
		a := ask(playground.Request{Policy: policy("policy.hcl", host), Format: format})
		if a.Proof != want || a.Summary != "The policy is valid: 0 policies, 0 tests, 0 findings." {
			t.Errorf("%s: %q, %q", format, a.Proof, a.Summary)
		}
		if (a.SwitchOn != nil) != (format == "restore") {
			t.Errorf("%s: %+v", format, a.SwitchOn)
		}
	}
}

// A format that cannot carry a policy out has no files and no proof, and says where and why.
func TestUnfit(t *testing.T) {
	p := policy("policy.hcl", strings.Replace(host, "}", "  established = \"accept\"\n}", 1))
	a := ask(playground.Request{Policy: p, Format: "nftables"})
	if a.Files != nil || a.Proof != "" || len(a.Findings) != 1 || a.Findings[0].Severity != "error" || a.Findings[0].Place == nil || a.Failure == "" {
		t.Errorf("%+v", a)
	}
	if a := ask(playground.Request{Policy: p, Format: "restore"}); len(a.Files) != 2 {
		t.Errorf("%+v", a)
	}
}

// A layout that a format does not have is refused, as by the command.
func TestLayouts(t *testing.T) {
	for _, f := range emit.Formats() {
		for _, layout := range []string{"", "auto", "flat", "indexed", "ipset", "other"} {
			has := layout == ""
			for _, l := range playground.Layouts(f) {
				has = has || l == layout
			}
			if a := ask(playground.Request{Policy: policy("policy.hcl", host), Format: f.Name, Layout: layout}); (len(a.Files) > 0) != has {
				t.Errorf("%s, %q: %+v", f.Name, layout, a)
			}
		}
	}
}

// Tests are proved, and a failure says what decided.
func TestTests(t *testing.T) {
	a := ask(playground.Request{Policy: policy("policy.hcl", host+"test \"open\" {\n  to = [80]\n  allow = any\n}\ntest \"closed\" {\n  to = [80]\n  deny = any\n}\n")})
	if len(a.Tests) != 2 || len(a.Tests[0].Failures) == 0 || len(a.Tests[1].Failures) != 0 || !strings.Contains(a.Tests[0].Failures[0], "policy.hcl:") {
		t.Errorf("%+v", a.Tests)
	}
}

// Whatever the page asks, there is an answer.
func TestJSON(t *testing.T) {
	for _, request := range []string{"", "null", "[]", "{}", `{"policy":{"files":{"policy.hcl":"\u0000"}}}`, `{"format":"none"}`, `{"policy":7}`, `{"before":{},"explain":{},"policy":{"files":{"a.hcl":"host {\n external=[\"e\"]\n unlisted=\"deny\"\n}\n"}}}`} {
		var a playground.Answer
		text := playground.JSON(context.Background(), []byte(request))
		if err := json.Unmarshal(text, &a); err != nil || a.Findings == nil || len(a.Findings) == 0 && a.Failure == "" && a.Summary == "" {
			t.Errorf("%s: %s, %v", request, text, err)
		}
	}
}
