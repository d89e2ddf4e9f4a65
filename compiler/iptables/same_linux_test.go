package iptables_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// likenesses returns the rules of testdata/same.txt: groups of texts, most of which
// are the same for iptables.
func likenesses(t *testing.T) (groups [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/same.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "\n\n") {
		var group []string
		for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
			if line != "" && !strings.HasPrefix(line, "#") {
				group = append(group, line)
			}
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	return groups
}

// -D deletes what both back ends delete, or the chain is undecided. Each rule is
// deleted from a chain that has it, or one like it, among others.
func TestDeleteTakesTheSameRule(t *testing.T) {
	needs(t)
	groups := likenesses(t)
	var all []string
	for _, g := range groups {
		all = append(all, g...)
	}
	r := rand.New(rand.NewPCG(11, 1))
	var files []string
	for _, g := range groups {
		for _, a := range g {
			for _, b := range g {
				if a != b && !*long && r.IntN(3) > 0 {
					continue
				}
				rules := []string{a}
				if other := all[r.IntN(len(all))]; r.IntN(3) > 0 {
					rules = slices.Insert(rules, r.IntN(2), other)
				}
				files = append(files, deleting(b, rules...))
			}
		}
	}
	for range times(100, 300) {
		a, b, c := all[r.IntN(len(all))], all[r.IntN(len(all))], all[r.IntN(len(all))]
		files = append(files, deleting(c, a, b))
	}
	saved := map[string][]restore.Saved{}
	for _, backend := range []string{"nft", "legacy"} {
		var err error
		if saved[backend], err = restore.SaveAll(backend, 4, files, ""); err != nil {
			t.Fatal(err)
		}
	}
	unclear := 0
	for i, file := range files {
		nft, legacy := remains(saved["nft"][i]), remains(saved["legacy"][i])
		read := reads(file)
		if read == "undecided" {
			unclear++
		} else if read != nft || read != legacy {
			t.Errorf("parsed: %s; nft: %s; legacy: %s\n%s", read, nft, legacy, file)
		}
	}
	t.Logf("%d files, %d undecided", len(files), unclear)
}

// deleting returns a file that deletes a rule from a chain with the given rules, each
// followed by a rule that numbers it.
func deleting(gone string, rules ...string) string {
	file := "*mangle\n:PREROUTING ACCEPT [0:0]\n:TEST - [0:0]\n"
	for i, rule := range rules {
		file += fmt.Sprintf("-A TEST %s\n-A TEST -m addrtype --src-type LOCAL -m comment --comment rule-%d-was-before\n", rule, i)
	}
	return file + "-D TEST " + gone + "\nCOMMIT\n"
}

// remains returns the numbers of the rules that are left in a back end.
func remains(s restore.Saved) string {
	if s.Text == "" {
		return "refused"
	}
	return numbers(s.Text)
}

// numbers returns the numbers of the markers that are still preceded by their rule.
func numbers(text string) string {
	list, before := "", false
	for _, line := range strings.Split(text, "\n") {
		switch rule, ok := strings.CutPrefix(line, "-A TEST"); {
		case !ok:
		case strings.Contains(rule, "-was-before"):
			list += fmt.Sprint(before, " ")
			before = false
		default:
			before = true
		}
	}
	return list
}

// reads returns the same as remains, but from Parse.
func reads(file string) string {
	f, err := iptables.Parse([]byte(file), iptables.Options{Family: packet.IPv4, Flush: true})
	if err != nil {
		return "refused"
	}
	text := ""
	for _, r := range f.Table("mangle").Chain("TEST").Rules() {
		if strings.Contains(r.Unread, "may delete") {
			return "undecided"
		}
		text += r.String("TEST") + "\n"
	}
	return numbers(text)
}
