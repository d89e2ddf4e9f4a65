package iptables

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Whatever is given to the parser, it says which line it refuses, or prints what
// it read: text that reads as the same and is printed as itself.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../testdata/import/*.rules", "../../testdata/captures/*/*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if src, err := os.ReadFile(name); err == nil {
				f.Add(src)
			}
		}
	}
	for _, text := range []string{
		"*filter\n:A - [0:0]\n-A A -m iprange --src-range 10.0.0.1-10.0.0.2 -m iprange --dst-range 10.0.0.1-10.0.0.2 -j DROP\nCOMMIT\n",
		"*filter\n:LOG - [0:0]\n-A LOG -p ipencap ! -f -j ACCEPT\n-F LOG\nCOMMIT\n*filter\nCOMMIT\n",
		"-P FORWARD DROP\n-N A\n-A A -s 1.2.3.4/255.0.255.0 -c 1 2 -j RETURN\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, family := range packet.Families {
			file, err := Parse(src, Options{Family: family})
			if err != nil || partial(file) {
				continue
			}
			if unclosed(file) {
				continue
			}
			once := fromModel(file)
			again, err := Parse(once, Options{Family: family})
			if err != nil {
				t.Fatalf("what was printed is not read: %v\n%q\n%q", err, src, once)
			}
			if twice := fromModel(again); !bytes.Equal(rulesOf(once), rulesOf(twice)) {
				t.Fatalf("printed twice:\n%s\nonce:\n%s\nof %q", twice, once, src)
			}
		}
	})
}

// The quick way through lines of iptables-save reads each line as the parser
// does: the same file, with a blank too many in every line of a rule, which only
// the parser reads, is the same chains.
func TestCanonicalIsNoOtherReader(t *testing.T) {
	names, err := filepath.Glob("../../examples/*/compiled/rules.v[46]")
	if err != nil || len(names) < 8 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	extra := [][]byte{[]byte("*filter\n:A - [0:0]\n" +
		"-A A -s 10.0.0.1/32 -j DROP\n-A A -s 10.0.0.0/8 -i eth0 -j DROP\n-A A ! -s 10.0.0.0/8 -i eth0 -j DROP\n" +
		"-A A -s 0.0.0.0/0 -j DROP\n-A A -s 10.0.0.1/8 -j DROP\n-A A -s 10.0.0.1 -j DROP\n-A A -s 010.0.0.1/32 -j DROP\n-A A -s 10.0.0.1/032 -j DROP\n" +
		"-A A -s 2001:db8::/32 -j DROP\n-A A -s ::/0 -j DROP\n-A A -s 10.0.0.1/33 -j DROP\n-A A -s 10.0.0.1/32,10.0.0.2/32 -j DROP\n" +
		"-A A -s 10.0.0.1/32 -s 10.0.0.2/32 -j DROP\n-A A -s 10.0.0.1/32 -j B\n-A A -s 10.0.0.1/32\n-A A -s 10.0.0.1/32 -j DROP -j DROP\nCOMMIT\n")}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		extra = append(extra, src)
	}
	for _, src := range extra {
		for _, line := range lonely(src) {
			for _, family := range packet.Families {
				quick, quickErr := Parse(line, Options{Family: family})
				slow, slowErr := Parse(bytes.ReplaceAll(line, []byte("\n-A "), []byte("\n-A  ")), Options{Family: family})
				if (quickErr == nil) != (slowErr == nil) {
					t.Errorf("%s: quick %v, slow %v", line, quickErr, slowErr)
				} else if quickErr == nil && !bytes.Equal(fromModel(quick), fromModel(slow)) {
					t.Errorf("quick:\n%s\nslow:\n%s", fromModel(quick), fromModel(slow))
				}
			}
		}
	}
}

// rulesOf leaves out the declarations: a chain that is not named in a file may be
// named in what is printed of it.
func rulesOf(text []byte) []byte {
	var kept []byte
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte(":")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// unclosed reports whether a rule has a word that holds the end of its line: a
// quote that nobody closes. Such a word has no other form.
func unclosed(f *File) bool {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			if slices.ContainsFunc(c.Rules, func(r *Rule) bool { return strings.Contains(r.Spec(), "\n") }) {
				return true
			}
		}
	}
	return false
}

// partial reports whether a file has a chain with rules that it does not show.
func partial(f *File) bool {
	for _, t := range f.Tables {
		if slices.ContainsFunc(t.Chains, func(c *Chain) bool { return c.Partial }) {
			return true
		}
	}
	return false
}

// fromModel prints what was understood of a file, without the rules' own words.
func fromModel(f *File) []byte {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for i := range c.Rules {
				if c.Rules[i].Unread == "" {
					c.Rules[i].spec = nil
				}
			}
		}
	}
	f.Source = nil
	return Print(f)
}

// lonely is a file for each rule of a file: its declarations, and that rule.
func lonely(src []byte) [][]byte {
	var head []byte
	var files [][]byte
	for _, line := range bytes.SplitAfter(src, []byte("\n")) {
		switch {
		case bytes.HasPrefix(line, []byte("-A ")):
			one := append(append([]byte{}, head...), line...)
			files = append(files, append(one, "COMMIT\n"...))
		case bytes.HasPrefix(line, []byte(":")), bytes.HasPrefix(line, []byte("*")):
			head = append(head, line...)
		}
	}
	return files
}
