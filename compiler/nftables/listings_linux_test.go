package nftables

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/nftoracle"
	"github.com/seawall/seawall/compiler/packet"
)

// loadable are the files whose listings are read: the captures, the compiled
// examples, and random rulesets.
func loadable(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"../../testdata/captures/*.nft", "../../examples/*/compiled/seawall.nft"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) < 4 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		for _, name := range names {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(src)
		}
	}
	for i := range 40 {
		r := rand.New(rand.NewPCG(uint64(i), 17))
		files[fmt.Sprint("random ruleset ", i)] = nftoracle.Random(r, nftoracle.Options{Unknown: i%4 == 0}).Text
	}
	return files
}

// listing is a script that loads a text and lists it in every form, with a line of
// equal signs between them.
const listing = `"$0" -f - || exit 3; for how in "" -a -s -j; do "$0" $how list ruleset; echo =====; done`

// listings returns what a program of nft lists of what it loads: the text, the one
// with handles, the one without counters, and the JSON.
func listings(nft, text string) ([]string, error) {
	cmd := exec.Command("sh", "-c", listing, nft)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	forms := strings.Split(string(out), "=====\n")
	if len(forms) != 5 {
		return nil, fmt.Errorf("%d listings", len(forms))
	}
	return forms[:4], nil
}

// shape is the tables with their chains and hooks, and the sizes of each.
func shape(f *File) []string {
	var list []string
	for _, t := range f.Tables {
		list = append(list, fmt.Sprintf("table %s %s", t.Family, t.Name))
		for _, c := range t.Chains {
			list = append(list, fmt.Sprintf("chain %s %s %s: %d rules", t.Family, t.Name, c.Name, len(c.Rules)))
			if h := c.Hook; h != nil {
				list = append(list, fmt.Sprintf("%s %s %d %s", h.Type, h.Hook, h.Priority, h.Policy))
			}
		}
		for _, s := range t.Sets {
			list = append(list, fmt.Sprintf("set %s %s %s", t.Family, t.Name, s.Name))
		}
	}
	slices.Sort(list)
	return list
}

// differs says at which hook two files treat packets differently; "" if at none. Unless
// exactly, what is undecided of one may be decided of the other: nft does not list a family
// that stands before a protocol.
func differs(a, b *File, exactly bool) string {
	for _, family := range packet.Families {
		x, y := a.Rules(family, RuleOptions{}), b.Rules(family, RuleOptions{})
		s := packet.NewSpace(family, append(x.Patterns(), y.Patterns()...)...)
		d := s.Store()
		for _, hook := range packet.Hooks {
			f, err := newReader(d, s, x).Whole(hook)
			g, other := newReader(d, s, y).Whole(hook)
			if (err == nil) != (other == nil) {
				return fmt.Sprintf("%v %s: %v and %v", family, hook, err, other)
			}
			if exactly && f != g || !exactly && !d.Disagree(f, g, func(a, b uint32) bool { return a&b != 0 || (a|b)&uint32(packet.Unknown) != 0 }).None() {
				return fmt.Sprintf("%v %s", family, hook)
			}
		}
	}
	return ""
}

// What nft lists of a file is read as what the file is: the same chains, hooks and sets, and
// the same verdict for every packet.
func TestListingsAreReadAsTheFile(t *testing.T) {
	needs(t)
	programs := map[string]string{"the machine's": "nft"}
	for suite, nft := range nftoracle.Fetched() {
		programs[suite] = string(nft)
	}
	for name, text := range loadable(t) {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(name)))+" "+filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			own, err := Parse([]byte(text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for program, nft := range programs {
				forms, err := listings(nft, text)
				if err != nil {
					t.Errorf("%s nft: %v", program, err)
					continue
				}
				for i, form := range forms {
					sameListing(t, own, form, program, i)
				}
			}
		})
	}
}

// forms are what listings returns.
var forms = []string{"text", "text with handles", "text without counters", "JSON"}

func sameListing(t *testing.T, own *File, form, program string, i int) {
	t.Helper()
	read := func(src []byte) (*File, error) { return Parse(src, Options{}) }
	if forms[i] == "JSON" {
		read = ParseJSON
	}
	f, err := read([]byte(form))
	if err != nil {
		t.Errorf("listed by %s nft as %s: %v", program, forms[i], err)
		return
	}
	if a, b := shape(own), shape(f); !slices.Equal(a, b) {
		t.Errorf("listed by %s nft as %s: %q, want %q", program, forms[i], b, a)
	} else if hook := differs(own, f, !strings.Contains(t.Name(), "random")); hook != "" {
		t.Errorf("listed by %s nft as %s: another meaning: %s", program, forms[i], hook)
	}
}
