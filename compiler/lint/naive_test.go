package lint_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
	"pgregory.net/rapid"
)

// naiveBlock is a block of a generated policy, by its line and what it names.
type naiveBlock struct {
	line            int
	verdict         string
	sources, except []netip.Prefix
}

func (b naiveBlock) has(a netip.Addr) bool {
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return in(b.sources) && !in(b.except)
}

// naive says which of a policy's blocks have no effect, one address at a time.
func naive(guard, own []naiveBlock, defaults string, isGuard bool) []string {
	var found []string
	for i, b := range own {
		names, decides, redundant, cut := false, false, true, false
		for a := range everyAddress {
			names = names || b.has(a)
			cut = cut || slices.ContainsFunc(b.except, func(p netip.Prefix) bool { return p.Contains(a) }) && slices.ContainsFunc(b.sources, func(p netip.Prefix) bool { return p.Contains(a) })
			has := func(x naiveBlock) bool { return x.has(a) }
			if !b.has(a) || slices.ContainsFunc(guard, has) || slices.ContainsFunc(own[:i], has) {
				continue
			}
			decides = true
			verdict := defaults
			if next := slices.IndexFunc(own[i+1:], has); next >= 0 {
				verdict = own[i+1+next].verdict
			}
			redundant = redundant && verdict == b.verdict
		}
		switch {
		case !decides:
			found = append(found, fmt.Sprintf("%d SW001 %t", b.line, !names))
		default:
			if b.except != nil && !cut {
				found = append(found, fmt.Sprintf("%d SW002", b.line))
			}
			if redundant && !isGuard {
				found = append(found, fmt.Sprintf("%d SW003", b.line))
			}
		}
	}
	return found
}

// everyAddress are the addresses that generated sources tell apart.
func everyAddress(yield func(netip.Addr) bool) {
	for _, first := range []string{"9.255.255.254", "255.255.255.240", "fd00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"} {
		a := netip.MustParseAddr(first)
		for range 20 {
			if !a.IsValid() {
				break
			}
			if !yield(a) {
				return
			}
			a = a.Next()
		}
	}
}

// The findings about blocks are those of an evaluator that asks for one address after the
// other.
func TestBlocksLikeNaive(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		base := netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.0", "255.255.255.240", "fd00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"}).Draw(t, "base"))
		bits := base.BitLen() - rapid.IntRange(0, 4).Draw(t, "bits")
		if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
			bits = 0
		}
		for range rapid.IntRange(0, 15).Draw(t, "nth") {
			base = base.Next()
		}
		return netip.PrefixFrom(base, bits).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		line, text := 1, ""
		write := func(format string, args ...any) {
			text += fmt.Sprintf(format, args...) + "\n"
			line++
		}
		list := func(p []netip.Prefix) string {
			return `["` + strings.Trim(strings.ReplaceAll(fmt.Sprint(p), " ", `", "`), "[]") + `"]`
		}
		draw := func() (all []naiveBlock) {
			for range rapid.IntRange(0, 6).Draw(t, "blocks") {
				b := naiveBlock{line: line, verdict: rapid.SampledFrom([]string{"deny", "allow"}).Draw(t, "verdict"),
					sources: rapid.SliceOfN(prefix, 1, 3).Draw(t, "sources"), except: rapid.SliceOfN(prefix, 0, 2).Draw(t, "except")}
				except := ""
				if len(b.except) == 0 {
					b.except = nil
				} else {
					except = "; except = " + list(b.except)
				}
				write("%s {", b.verdict)
				write("sources = %s", list(b.sources))
				if except != "" {
					write("except = %s", list(b.except))
				}
				write("}")
				all = append(all, b)
			}
			return all
		}
		write(`host {`)
		write(`external = ["eth0"]`)
		write(`unlisted = "deny"`)
		write("}")
		var guard []naiveBlock
		if rapid.Bool().Draw(t, "guarded") {
			write("guard {")
			guard = draw()
			write("}")
		}
		want := naive(nil, guard, "", true)
		for n := range rapid.IntRange(1, 2).Draw(t, "policies") {
			defaults := rapid.SampledFrom([]string{"deny", "allow"}).Draw(t, "default")
			write("policy \"p%d\" {", n)
			write("ports = [%d]", 8080+n)
			write("default = %q", defaults)
			want = append(want, naive(guard, draw(), defaults, false)...)
			write("}")
		}
		loaded, diags := schema.Parse("policy.hcl", []byte(text), schema.Options{})
		if diags.HasErrors() {
			t.Skip(diags.Error())
		}
		var got []string
		for _, f := range lint.Run(loaded.Document, loaded.Files) {
			line := f.At.Start.Line
			switch f.Code {
			case "SW001":
				got = append(got, fmt.Sprintf("%d SW001 %t", line, strings.HasPrefix(f.Detail, "Its except")))
			case "SW002", "SW003":
				got = append(got, fmt.Sprintf("%d %s", line, f.Code))
			}
		}
		for i, w := range want { // an except is on a line of its own
			if strings.HasSuffix(w, "SW002") {
				var at int
				fmt.Sscan(w, &at)
				want[i] = fmt.Sprintf("%d SW002", at+2)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s\n%s", text, d)
		}
	})
}
