package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sarifLog is what the test reads of a log.
type sarifLog struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []struct {
					ID   string
					Help struct{ Text string }
				}
			}
		}
		Results []struct {
			RuleID    string `json:"ruleId"`
			RuleIndex int
			Level     string
			Locations []struct {
				PhysicalLocation struct{ Region struct{ StartLine int } }
			}
			PartialFingerprints map[string]string
		}
	}
}

// What validate, test and verify write is SARIF by its schema, and a result is known again
// when a line is added above it.
func TestSARIF(t *testing.T) {
	schema := jsonschema.NewCompiler()
	schema.DefaultDraft(jsonschema.Draft4)
	compiled, err := schema.Compile("../../compiler/sarif/testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy with blanks.hcl")
	const text = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"db\" {\n  ports = [5432]\n  allow { sources = any }\n}\nset \"a\" { sources = [\"192.0.2.1\"] }\nset \"b\" { sources = [\"192.0.2.1\"] }\ntest \"closed\" {\n  to   = [5432]\n  deny = [\"192.0.2.0/24\"]\n}\n"
	rules := filepath.Join(dir, "rules.v4")
	writeFile(t, rules, "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -j DROP\nCOMMIT\n")
	broken := filepath.Join(dir, "broken.hcl")
	writeFile(t, broken, "host {\n  external = [\"eth0\"]\n  unlisted = \"x\"\n}\n")
	for _, x := range []struct {
		args []string
		code int
		want []string // rule and level of each result
	}{
		{[]string{"validate", "--strict"}, exitDiffers, []string{"SW007 note", "SW005 warning", "SW005 warning"}},
		{[]string{"test"}, exitDiffers, []string{"test-failed error"}},
		{[]string{"verify", "--rules", rules, "--family", "4"}, exitDiffers, nil},
		{[]string{"validate", broken}, exitError, []string{"mistake error"}},
	} {
		t.Run(strings.Join(x.args[:1], " "), func(t *testing.T) {
			args := append(x.args, "--format", "sarif")
			if x.args[len(x.args)-1] != broken {
				args = append(args, policy)
			}
			ask := func(before string) *sarifLog {
				writeFile(t, policy, before+text)
				var out, errOut bytes.Buffer
				if code := run(args, strings.NewReader(""), &out, &errOut); code != x.code {
					t.Fatalf("exit %d\n%s%s", code, out.String(), errOut.String())
				}
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				if err := compiled.Validate(value); err != nil {
					t.Fatalf("%v\n%s", err, out.String())
				}
				log := &sarifLog{}
				if err := json.Unmarshal(out.Bytes(), log); err != nil {
					t.Fatal(err)
				}
				return log
			}
			first, second := ask(""), ask("# a line on top\n")
			results, moved := first.Runs[0].Results, second.Runs[0].Results
			if len(results) == 0 || len(moved) != len(results) || x.want != nil && len(results) != len(x.want) {
				t.Fatalf("%+v", results)
			}
			seen := map[string]bool{}
			for i, r := range results {
				rule := first.Runs[0].Tool.Driver.Rules[r.RuleIndex]
				if rule.ID != r.RuleID || rule.Help.Text == "" {
					t.Errorf("%s has the rule %+v", r.RuleID, rule)
				}
				if x.want != nil && r.RuleID+" "+r.Level != x.want[i] {
					t.Errorf("result %d is %s %s", i, r.RuleID, r.Level)
				}
				print := r.RuleID + r.PartialFingerprints["primaryLocationLineHash"]
				if seen[print] {
					t.Errorf("two results have the fingerprint %s", print)
				}
				seen[print] = true
				if again := moved[i].RuleID + moved[i].PartialFingerprints["primaryLocationLineHash"]; again != print {
					t.Errorf("result %d was %s and is %s", i, print, again)
				}
			}
		})
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
