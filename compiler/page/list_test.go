package page

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/address"
	"go4.org/netipx"
)

// phraseOf is a set as a phrase.
func phraseOf(t *testing.T, in, out string) address.Phrase {
	t.Helper()
	var b netipx.IPSetBuilder
	for _, text := range strings.Fields(in) {
		b.AddPrefix(netip.MustParsePrefix(text))
	}
	for _, text := range strings.Fields(out) {
		b.RemovePrefix(netip.MustParsePrefix(text))
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return address.PhraseOf(set.Ranges())
}

func TestPhrase(t *testing.T) {
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("10.0.%d.0/24", 2*i))
	}
	for _, test := range []struct{ in, out, full, linked string }{
		{"", "", "nobody", "nobody"},
		{"0.0.0.0/0", "", "everybody", "everybody"},
		{"10.8.0.0/16", "10.8.13.0/24", "`10.8.0.0/16` except `10.8.13.0/24`", "`10.8.0.0/16` except `10.8.13.0/24`"},
		{"10.8.0.0/16 192.0.2.1/32", "10.8.13.0/24", "`192.0.2.1`, and `10.8.0.0/16` except `10.8.13.0/24`", "`192.0.2.1`, and `10.8.0.0/16` except `10.8.13.0/24`"},
		{strings.Join(many, " "), "", "`10.0.0.0/24`, `10.0.2.0/24`, `10.0.4.0/24`, `10.0.6.0/24`, `10.0.8.0/24`, `10.0.10.0/24`, `10.0.12.0/24`, `10.0.14.0/24` <details><summary>and 12 more</summary> " +
			"`10.0.16.0/24`<br>`10.0.18.0/24`<br>`10.0.20.0/24`<br>`10.0.22.0/24`<br>`10.0.24.0/24`<br>`10.0.26.0/24`<br>`10.0.28.0/24`<br>`10.0.30.0/24`<br>`10.0.32.0/24`<br>`10.0.34.0/24`<br>`10.0.36.0/24`<br>`10.0.38.0/24`<br></details>",
			"`10.0.0.0/24`, `10.0.2.0/24`, `10.0.4.0/24` [and 17 more](#place)"},
	} {
		p := phraseOf(t, test.in, test.out)
		if got := MarkdownPhrase(p); got != test.full {
			t.Errorf("%s without %s: %s, want %s", test.in, test.out, got, test.full)
		}
		if got := MarkdownPhraseLinked(p, "place"); got != test.linked {
			t.Errorf("%s without %s: %s, want %s", test.in, test.out, got, test.linked)
		}
	}
	// Everybody but a network, of which one address gets in all the same.
	every := netipx.RangeOfPrefix(netip.MustParsePrefix("0.0.0.0/0"))
	one := netipx.RangeOfPrefix(netip.MustParsePrefix("203.0.113.25/32"))
	p := address.Phrase{{Base: one}, {Base: every, Except: []netipx.IPRange{netipx.RangeOfPrefix(netip.MustParsePrefix("203.0.113.0/24"))}}}
	if got, want := MarkdownPhrase(p), "everybody except `203.0.113.0/24`; and `203.0.113.25`"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if Everybody(p) || !Everybody(address.Phrase{{Base: every}}) || Everybody(address.Phrase{{Base: one}}) {
		t.Error("everybody is not who it should be")
	}
	if got := string(Phrase(phraseOf(t, strings.Join(many, " "), ""))); strings.Count(got, "10.0.") != 20 || !strings.Contains(got, "<summary>and 12 more</summary>") {
		t.Errorf("%s", got)
	}
}

// What is too much for any page is counted, and the reader is told where it is.
func TestTooMuchForAPage(t *testing.T) {
	values := make([]string, mostWords+1234)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	got := string(Fold("all", len(values), slices.Values(values)))
	if !strings.Contains(got, "\n4999\n1,234 more are too many for a page; the file has them all.</div>") {
		t.Errorf("it ends %s", got[len(got)-200:])
	}
}
