package address

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

// parsePhrase reads a phrase as a person does, with netipx and nothing of this
// package.
func parsePhrase(t *rapid.T, every, text string) *netipx.IPSet {
	var all netipx.IPSetBuilder
	add := func(b *netipx.IPSetBuilder, word string) {
		word = strings.Replace(word, "everybody", every, 1)
		switch {
		case strings.Contains(word, "/"):
			b.AddPrefix(netip.MustParsePrefix(word))
		case strings.Contains(word, "-"):
			r, err := netipx.ParseIPRange(word)
			if err != nil {
				t.Fatalf("%q in %q: %v", word, text, err)
			}
			b.AddRange(r)
		default:
			b.Add(netip.MustParseAddr(word))
		}
	}
	plain, with, _ := strings.Cut(text, ", and ")
	if with == "" && strings.Contains(text, "except") {
		plain, with = "", text
	}
	for _, word := range strings.Split(plain, ", ") {
		if word != "" && word != "nobody" {
			add(&all, word)
		}
	}
	for _, part := range strings.Split(with, "; and ") {
		base, exceptions, _ := strings.Cut(part, " except ")
		var one, less netipx.IPSetBuilder
		if base != "" {
			add(&one, base)
		}
		for _, word := range strings.Split(strings.Replace(exceptions, " and ", ", ", 1), ", ") {
			if word != "" {
				add(&less, word)
			}
		}
		lessSet, err := less.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		one.RemoveSet(lessSet)
		oneSet, err := one.IPSet()
		if err != nil {
			t.Fatal(err)
		}
		all.AddSet(oneSet)
	}
	set, err := all.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// drawnSet is a set of networks and ranges of one family with holes: small ones,
// for edges, or all over the address space, for "everybody except".
func drawnSet(t *rapid.T) (Set, *netipx.IPSet, string) {
	every, bases := "0.0.0.0/0", []string{"0.0.0.0", "10.8.13.0", "10.8.255.0", "198.51.100.77", "255.255.255.240"}
	if rapid.Bool().Draw(t, "IPv6") {
		every, bases = "::/0", []string{"::", "2001:db8:40::", "2001:db8:40:ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"}
	}
	var b netipx.IPSetBuilder
	for range rapid.IntRange(0, 8).Draw(t, "steps") {
		base := netip.MustParseAddr(rapid.SampledFrom(bases).Draw(t, "base"))
		long := rapid.SampledFrom([]int{0, 1, 8, 16, 17, 23, 24, 28, 30, 31, 32}).Draw(t, "length")
		if base.Is6() && long > 0 {
			long = min(128, long*4)
		}
		net := netipx.RangeOfPrefix(netip.PrefixFrom(base, long).Masked())
		if from := net.From().Next(); rapid.Bool().Draw(t, "odd") && from.IsValid() && from.Less(net.To()) {
			net = netipx.IPRangeFrom(from, net.To().Prev())
		}
		if rapid.Bool().Draw(t, "add") {
			b.AddRange(net)
		} else {
			b.RemoveRange(net)
		}
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return Set(set.Ranges()), set, every
}

// A phrase, read back, is exactly the set; it is never longer than the list of
// CIDRs; and a shortened one names as many as it should, and counts the rest.
func TestPhraseIsTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, want, every := drawnSet(t)
		p := PhraseOf(set)
		if !p.Set().Equal(set) {
			t.Fatalf("%v as a phrase is %v, which is %v", set, p, p.Set())
		}
		if got := parsePhrase(t, every, p.String()); !got.Equal(want) {
			t.Fatalf("%v as a phrase is %q, which reads as %v", set, p, got.Ranges())
		}
		if cidrs := len(set.Prefixes()); p.Len() > cidrs {
			t.Fatalf("%v needs %d names as %q, and %d CIDRs", set, p.Len(), p, cidrs)
		}
		if len(p) > 0 {
			most := rapid.IntRange(1, p.Len()+1).Draw(t, "most")
			text := p.Shorten(most)
			if named := names(t, text); named != p.Len() {
				t.Fatalf("%q of %d names stands for %d", text, p.Len(), named)
			}
		}
	})
}

// names counts what a text names, with those that it only counts.
func names(t *rapid.T, text string) int {
	total := 0
	words := strings.NewReplacer("; and ", "\n", ", and ", "\n", " except ", "\n", " and ", "\n", ", ", "\n").Replace(text)
	for _, word := range strings.Split(words, "\n") {
		n := 1
		if strings.HasSuffix(word, " more") {
			if _, err := fmt.Sscanf(word, "%d more", &n); err != nil {
				t.Fatalf("%q in %q: %v", word, text, err)
			}
		}
		total += n
	}
	return total
}

// What people write, and how many names of it are asked for.
func TestPhraseReadsWell(t *testing.T) {
	for _, c := range []struct {
		with, without string
		most          int
		want          string
	}{
		{"", "", 9, "nobody"},
		{"0.0.0.0/0", "", 9, "everybody"},
		{"::/0", "", 9, "everybody"},
		{"::/0", "2001:db8::/32", 9, "everybody except 2001:db8::/32"},
		{"0.0.0.0/0", "198.51.100.0/24", 9, "everybody except 198.51.100.0/24"},
		{"0.0.0.0/0", "192.168.0.1", 9, "everybody except 192.168.0.1"},
		{"0.0.0.0/0", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", 9, "everybody except 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16"},
		{"0.0.0.0/0", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", 2, "everybody except 10.0.0.0/8 and 2 more"},
		{"0.0.0.0/0", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", 3, "everybody except 10.0.0.0/8, 172.16.0.0/12 and 1 more"},
		{"10.8.0.0/16", "10.8.13.0/24", 9, "10.8.0.0/16 except 10.8.13.0/24"},
		{"10.8.0.0/16", "10.8.255.0/24", 9, "10.8.0.0/16 except 10.8.255.0/24"},
		{"10.8.0.0/16", "10.8.13.0/24 10.8.20.7", 9, "10.8.0.0/16 except 10.8.13.0/24 and 10.8.20.7"},
		{"10.8.0.0/16 198.51.100.7", "10.8.13.0/24", 9, "198.51.100.7, and 10.8.0.0/16 except 10.8.13.0/24"},
		{"10.8.0.0/16 192.168.0.0/16", "10.8.13.0/24 192.168.7.0/24", 9, "10.8.0.0/16 except 10.8.13.0/24; and 192.168.0.0/16 except 192.168.7.0/24"},
		{"0.0.0.0-10.7.255.255 10.8.9.4 10.8.13.0/24 10.9.0.0-255.255.255.255", "", 9, "10.8.9.4, 10.8.13.0/24, and everybody except 10.8.0.0/16"},
		{"198.51.100.7 10.8.0.0/16", "10.8.13.0/24 10.8.20.0/24", 3, "198.51.100.7, and 10.8.0.0/16 except 10.8.13.0/24 and 1 more"},
		{"10.8.0.0/16 192.168.0.0/16", "10.8.13.0/24 192.168.7.0/24", 2, "10.8.0.0/16 except 10.8.13.0/24; and 2 more"},
		{"10.8.12.0/23", "10.8.13.0/24", 9, "10.8.12.0/24"},
		{"192.0.2.0/24", "192.0.2.0/26", 9, "192.0.2.64/26, 192.0.2.128/25"},
		{"10.9.0.1-10.9.0.20", "", 9, "10.9.0.1-10.9.0.20"},
		{"10.9.0.1-10.9.0.2", "", 9, "10.9.0.1, 10.9.0.2"},
		{"192.0.2.1 192.0.2.3 192.0.2.5", "", 9, "192.0.2.1, 192.0.2.3, 192.0.2.5"},
		{"192.0.2.1 192.0.2.3 192.0.2.5", "", 2, "192.0.2.1, 192.0.2.3 and 1 more"},
		{"192.0.2.1 192.0.2.3 192.0.2.5", "", 0, "192.0.2.1 and 2 more"},
		{"2001:db8:40::/48", "2001:db8:40:1::/64", 9, "2001:db8:40::/48 except 2001:db8:40:1::/64"},
		{"2001:db8::1 2001:db8::5", "", 9, "2001:db8::1, 2001:db8::5"},
	} {
		t.Run(c.want, func(t *testing.T) {
			var b netipx.IPSetBuilder
			for i, words := range []string{c.with, c.without} {
				for _, word := range strings.Fields(words) {
					r, err := netipx.ParseIPRange(word)
					if p, bad := netip.ParsePrefix(word); bad == nil {
						r, err = netipx.RangeOfPrefix(p), nil
					} else if a, bad := netip.ParseAddr(word); bad == nil {
						r, err = netipx.IPRangeFrom(a, a), nil
					}
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 {
						b.AddRange(r)
					} else {
						b.RemoveRange(r)
					}
				}
			}
			set, err := b.IPSet()
			if err != nil {
				t.Fatal(err)
			}
			if got := PhraseOf(Set(set.Ranges())).Shorten(c.most); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A hundred thousand entries are written in a moment.
func BenchmarkPhrase(b *testing.B) {
	var build netipx.IPSetBuilder
	for i := range 100_000 {
		build.Add(netip.AddrFrom4([4]byte{byte(11 + i>>16), byte(i >> 8), byte(i), byte(i*7) | 1}))
	}
	set, err := build.IPSet()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		PhraseOf(Set(set.Ranges()))
	}
}
