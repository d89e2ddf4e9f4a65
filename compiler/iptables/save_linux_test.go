package iptables_test

import (
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/exttest"
	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// sameText checks that Parse accepts a saved text, and that its rules are printed
// byte for byte as in the text. It returns the file, or nil if the check failed.
func sameText(t *testing.T, family packet.Family, text string) *iptables.File {
	t.Helper()
	f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
	if err != nil {
		t.Errorf("Parse refuses what iptables-save printed: %v\n%s", err, text)
		return nil
	}
	if string(iptables.Print(f)) != text {
		t.Errorf("not printed byte for byte:\n%s", text)
	}
	var want, got []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "-A ") {
			want = append(want, line)
		}
	}
	for _, table := range f.Tables {
		byLine := map[int32]string{}
		for _, c := range table.Chains {
			for _, r := range c.Rules() {
				byLine[r.Line] = r.String(c.Name)
			}
		}
		for n := int32(1); n <= int32(strings.Count(text, "\n")); n++ {
			if line := byLine[n]; line != "" {
				got = append(got, line)
			}
		}
	}
	if strings.Join(want, "\n") != strings.Join(got, "\n") {
		t.Errorf("rules are not printed as they were read:\n%s\n\n%s", strings.Join(got, "\n"), text)
	}
	return f
}

// lossy matches rules that iptables-save does not print in full
// (NETFILTER.md section 9): nf_tables prints only the last of several tcp or udp
// matches, and neither back end prints a --ctorigdst mask with holes.
var lossy = regexp.MustCompile(`-m ?=?(tcp|udp).*-m ?=?(tcp|udp)|--match[ =](tcp|udp)|--ctorig[a-z]* [0-9a-f.:]+/[0-9a-f]+[.:]|! (-[io]|--(in|out)\S*)[ =]?\+|-j LOG|--jump LOG`)

// Parse accepts what iptables-save prints of a file that loads; the text is printed
// byte for byte, and means what the file meant.
func TestSavedFiles(t *testing.T) {
	needs(t)
	files, compared := 0, 0
	for _, backend := range []string{"nft", "legacy"} {
		for _, family := range []int{4, 6} {
			for seed := range uint64(times(60, 1000)) {
				f := oracle.Random(rand.New(rand.NewPCG(seed, 5)), oracle.Options{Family: family, Known: true, Loadable: true})
				saved, err := restore.Save(backend, family, f.Text, f.Sets)
				if err != nil {
					continue // only the kernel refuses it
				}
				files++
				if sameText(t, packet.Family(family), saved) != nil && f.Sections == 1 && !lossy.MatchString(f.Text) {
					compared++
					sameMeaning(t, packet.Family(family), f.Text, saved, f.Sets)
				}
			}
		}
	}
	t.Logf("%d files saved, all byte for byte; the meaning of %d compared", files, compared)
}

// sameMeaning compares the meaning of two texts over all packets.
func sameMeaning(t *testing.T, family packet.Family, a, b, sets string) {
	t.Helper()
	known, err := ipset.Parse([]byte(sets))
	if err != nil {
		t.Fatal(err)
	}
	table := func(text string) *iptables.Table {
		f, err := iptables.Parse([]byte(text), iptables.Options{Family: family})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		f.Table("filter").Sets = known
		return f.Table("filter")
	}
	x, y := table(a), table(b)
	s := packet.NewSpace(family, append(x.Patterns(), y.Patterns()...)...)
	d := s.Store()
	err = d.Try(func() error {
		f, err := iptables.NewReader(d, s, x).Whole(packet.Forward)
		if err != nil {
			return err
		}
		g, err := iptables.NewReader(d, s, y).Whole(packet.Forward)
		if err != nil {
			return err
		}
		differ := d.Disagree(f, g, func(a, b uint32) bool {
			return a == b || !packet.Verdict(a).Known() || !packet.Verdict(b).Known()
		})
		if !differ.None() {
			t.Errorf("the file and what iptables-save printed differ in meaning:\n%s\n%s", a, b)
		}
		return nil
	})
	if err != nil {
		t.Logf("not compared: %v", err)
	}
}

// The lines of iptables' own extension tests: each line that loads is accepted as
// written and as saved, and both mean the same, as far as they can be evaluated.
// The lines are not in this repository: IPTABLES_SOURCE names an unpacked source
// package.
func TestIptablesOwnTests(t *testing.T) {
	source := os.Getenv("IPTABLES_SOURCE")
	if source == "" {
		t.Skip("IPTABLES_SOURCE does not name an unpacked source package of iptables")
	}
	needs(t)
	lines, err := exttest.Lines(source)
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string][]exttest.Line{}
	var order []string
	for _, l := range lines {
		key := l.File + string(rune('0'+l.Family))
		if byFile[key] == nil {
			order = append(order, key)
		}
		byFile[key] = append(byFile[key], l)
	}
	counts := map[string]int{}
	for _, backend := range []string{exttest.NFT, exttest.Legacy} {
		for _, key := range order {
			results, err := exttest.Saved(backend, byFile[key])
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				ownTest(t, r, counts)
			}
		}
	}
	t.Logf("%v", counts)
}

func ownTest(t *testing.T, r exttest.Result, counts map[string]int) {
	t.Helper()
	family := packet.Family(r.Family)
	text := "*" + r.Table + "\n-A " + r.Chain + " " + r.Line.Rule + "\nCOMMIT\n"
	written, err := iptables.Parse([]byte(text), iptables.Options{Family: family, NoFlush: true})
	if !r.Loaded {
		counts["refused by iptables"]++
		if err == nil {
			counts["refused by iptables, but accepted by Parse"]++
			t.Logf("%v: accepted, but iptables says %s: %s", r.Line, r.Message, r.Line.Rule)
		}
		return
	}
	counts["loaded"]++
	if err != nil {
		counts["loaded, but refused by Parse"]++
		t.Logf("%v: refused: %v: %s", r.Line, err, r.Line.Rule)
		return
	}
	saved := sameText(t, family, r.Saved)
	if saved == nil {
		return
	}
	counts["saved byte for byte"]++
	table, savedTable := written.Table(r.Table), saved.Table(r.Table)
	a, b := lastRule(table, r.Chain), lastRule(savedTable, r.Chain)
	if a == nil || b == nil {
		return
	}
	if decided(a) != decided(b) {
		t.Logf("%v: decided %v as written, %v as saved: %s / %s", r.Line, decided(a), decided(b), a.Spec(), b.Spec())
	}
	if decided(a) {
		counts["decided"]++
	} else {
		counts["undecided"]++
	}
}

func lastRule(t *iptables.Table, chain string) *iptables.Rule {
	c := t.Chain(chain)
	if c == nil || c.Len() == 0 {
		return nil
	}
	return c.Rules()[c.Len()-1]
}

// decided reports whether every match of a rule can be evaluated.
func decided(r *iptables.Rule) bool {
	for i := range r.Matches {
		if r.Matches[i].Module == nil || r.Matches[i].Module.Means == nil {
			return false
		}
	}
	return r.Unread == ""
}
