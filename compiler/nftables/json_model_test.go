package nftables

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// withoutLines removes the places of elements.
func withoutLines(list []Statement) []Statement {
	for _, s := range list {
		switch s := s.(type) {
		case *Match:
			unplaced(s.Right.Set)
		case *Lookup:
			unplaced(s.Map.Set)
		}
	}
	return list
}

func unplaced(list []Element) []Element {
	for i := range list {
		list[i].Line = 0
	}
	return list
}

// equal reports whether two statements are the same, or are both understood by neither
// reader. The text of 1.0.6 leaves out the usual burst of a limit.
func equal(json, text Statement) bool {
	switch j := json.(type) {
	case *Foreign:
		_, foreign := text.(*Foreign)
		return foreign
	case *Limit:
		l, ok := text.(*Limit)
		return ok && strings.TrimSuffix(j.Text, " burst 5 packets") == strings.TrimSuffix(l.Text, " burst 5 packets")
	case *Note:
		_, note := text.(*Note)
		return note
	}
	return reflect.DeepEqual(json, text)
}

// otherwise are the rules that JSON has in other words, none of them about packets'
// addresses, ports or states.
var otherwise = []string{
	"numgen random mod 2 0 accept", "jhash ip saddr mod 2 0 accept", "ct expiration 10s accept",
	`iifname "@ww" drop`, "ct event set new", "ip frag-off & 0x1fff != 0x0 drop",
	"fib saddr . iif check missing drop",
}

// The model of a listing is the same from its JSON and from its text: tables, hooks,
// elements of sets and statements.
func TestJSONAndTextModel(t *testing.T) {
	names, _ := filepath.Glob("testdata/listings/*.json") // the pattern is right
	rules := 0
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(strings.TrimSuffix(name, ".json") + ".nft")
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseJSON(src)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := Parse(text, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, json := range a.Tables {
			other := b.Table(json.Family, json.Name)
			if len(json.Chains) != len(other.Chains) || len(json.Sets) != len(other.Sets) {
				t.Fatalf("%s: table %s: %d chains and %d sets, in the text %d and %d", name, json.Name, len(json.Chains), len(json.Sets), len(other.Chains), len(other.Sets))
			}
			for _, c := range json.Chains {
				rules += len(c.Rules)
				compareChains(t, name, c, other.Chain(c.Name))
			}
			for _, s := range json.Sets {
				compareSets(t, name, s, other.Set(s.Name))
			}
		}
	}
	if rules < 400 {
		t.Errorf("only %d rules", rules)
	}
}

func compareChains(t *testing.T, name string, json, text *Chain) {
	t.Helper()
	if !reflect.DeepEqual(json.Hook, text.Hook) || len(json.Rules) != len(text.Rules) {
		t.Fatalf("%s: chain %s: %+v and %d rules, in the text %+v and %d", name, json.Name, json.Hook, len(json.Rules), text.Hook, len(text.Rules))
	}
	for i, r := range json.Rules {
		if slices.Contains(otherwise, text.Rules[i].Text) {
			continue
		}
		if !slices.EqualFunc(withoutLines(r.Statements), withoutLines(text.Rules[i].Statements), equal) || r.Comment != text.Rules[i].Comment {
			t.Errorf("%s: chain %s:\n%s\nin the text:\n%s", name, json.Name, r, text.Rules[i])
			for k := range min(len(r.Statements), len(text.Rules[i].Statements)) {
				if !equal(r.Statements[k], text.Rules[i].Statements[k]) {
					t.Logf("%T%+v\n%T%+v", r.Statements[k], r.Statements[k], text.Rules[i].Statements[k], text.Rules[i].Statements[k])
				}
			}
		}
	}
}

func compareSets(t *testing.T, name string, json, text *Set) {
	t.Helper()
	e, f := unplaced(json.Elements), unplaced(text.Elements)
	if slices.ContainsFunc(e, func(x Element) bool { return x.Unread != "" }) {
		return // in the words of JSON
	}
	if !reflect.DeepEqual(e, f) || (json.Unread == "") != (text.Unread == "") || json.Map != text.Map {
		t.Errorf("%s: set %s:\n%+v\nin the text:\n%+v", name, json.Name, json, text)
	}
}
