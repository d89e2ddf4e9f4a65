package iptables

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/packet"
)

// For any input, Parse either names the line it refuses, or Print returns a text
// that parses the same and prints as itself.
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
		fuzzing.Bound(t, len(src))
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
				t.Fatalf("Parse refuses what Print returned: %v\n%q\n%q", err, src, once)
			}
			if twice := fromModel(again); !bytes.Equal(rulesOf(once), rulesOf(twice)) {
				t.Fatalf("printed twice:\n%s\nprinted once:\n%s\ninput %q", twice, once, src)
			}
		}
	})
}

// The fast path for lines of iptables-save reads each line as the parser does: the
// same file with an extra blank in every rule, which only the parser accepts, has
// the same chains.
func TestCanonicalReadsTheSame(t *testing.T) {
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
					t.Errorf("%s: fast path %v, parser %v", line, quickErr, slowErr)
				} else if quickErr == nil && !bytes.Equal(fromModel(quick), fromModel(slow)) {
					t.Errorf("fast path:\n%s\nparser:\n%s", fromModel(quick), fromModel(slow))
				}
			}
		}
	}
}

// rulesOf removes the declarations: a chain that a file does not name may be named
// when the file is printed.
func rulesOf(text []byte) []byte {
	var kept []byte
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte(":")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// unclosed reports whether a rule has a word with an unclosed quote, which extends
// to the end of the line. Such a word cannot be written in any other way.
func unclosed(f *File) bool {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			if slices.ContainsFunc(c.Rules(), func(r *Rule) bool { return strings.Contains(r.Spec(), "\n") }) {
				return true
			}
		}
	}
	return false
}

// partial reports whether a file has a chain with rules that are not in the file.
func partial(f *File) bool {
	for _, t := range f.Tables {
		if slices.ContainsFunc(t.Chains, func(c *Chain) bool { return c.Partial }) {
			return true
		}
	}
	return false
}

// fromModel prints what was parsed of a file, without the rules' own words.
func fromModel(f *File) []byte {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for i := range c.Rules() {
				if c.Rules()[i].Unread == "" {
					c.Rules()[i].spec = nil
				}
			}
		}
	}
	f.Source = nil
	return Print(f)
}

// lonely returns one file for each rule of a file: the declarations, and that rule.
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
