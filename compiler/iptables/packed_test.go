package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/packet"
	"pgregory.net/rapid"
)

// TestPackedIsTheSame compares the rules of chains that are packed with those of the same
// text read with all words, and what the two mean; also after commands that change a chain.
func TestPackedIsTheSame(t *testing.T) {
	packed, unpacked := 0, 0
	many(t, func(t *rapid.T) {
		text := packedText(t) + rapid.SampledFrom(append(make([]string, 8), changing...)).Draw(t, "change") + "COMMIT\n"
		defer func(n int) { aheadFrom = n }(aheadFrom)
		aheadFrom = rapid.SampledFrom([]int{1, 1 << 30}).Draw(t, "ahead from")
		whole, wantErr := Parse([]byte(text), Options{Family: packet.IPv4})
		lean, gotErr := Parse([]byte(text), Options{Family: packet.IPv4, ChainsOnly: true})
		if (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("%s: %v, %v packed", text, wantErr, gotErr)
		}
		if wantErr != nil {
			return
		}
		if diff := cmp.Diff(whole.Table("filter").Patterns(), lean.Table("filter").Patterns()); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
		meansTheSame(t, whole.Table("filter"), lean.Table("filter"))
		for _, c := range lean.Table("filter").Chains {
			switch {
			case c.packing != nil:
				packed++
			case Owned(c.Name) && c.Len() > 0:
				unpacked++
			}
		}
		if diff := cmp.Diff(rulesAndLines(whole), rulesAndLines(lean)); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
	})
	if packed < 1000 || unpacked < 100 {
		t.Errorf("%d chains were packed, and %d were not", packed, unpacked)
	}
}

// changing are lines that change a chain of packedText.
var changing = []string{"-I SEAWALL-xa-1 2 -s 10.0.0.0/9 -j RETURN\n", "-D SEAWALL-xa-1 1\n", "-D SEAWALL-xa-0 -s 10.0.0.0/8 -j DROP\n", "-R SEAWALL-xa-0 1 -j RETURN\n",
	"-C SEAWALL-xa-0 -s 10.0.0.0/8 -j DROP\n-A SEAWALL-xa-0 -j DROP\n", "-F SEAWALL-xa-1\n", ":SEAWALL-xa-2 - [0:0]\n", "-A SEAWALL-xa-1 -j SEAWALL-xa-0\n-E SEAWALL-xa-0 SEAWALL-xb-0\n", "-A SEAWALL-xa-1 -i eth7 -j DROP\n", "-E SEAWALL-xa-2 SEAWALL-xb-2\n",
	"-A SEAWALL-xa-1 -s 10.0.0.0/8 -j DROP\n", "-A SEAWALL-xa-1 -p tcp -j DROP\n", "-A SEAWALL-xa-0 -s 10.0.0.0/8 -j NOWHERE\n", "-A SEAWALL-xa-0 ! -s 10.0.0.0/8 -j LOG\n-A SEAWALL-xa-0 -j DROP\n",
	"-A SEAWALL-xa-0 -g SEAWALL-xa-4\n-A SEAWALL-xa-0 -j RETURN\n", "COMMIT\n*filter\n-A SEAWALL-xa-0 -j DROP\n", "-A SEAWALL-xa-0 -s 0.0.0.0/0 -j DROP\n"}

func rulesAndLines(f *File) string {
	var b strings.Builder
	table := f.Table("filter")
	for _, c := range table.Chains {
		fmt.Fprintln(&b, c.Name, c.Len(), c.Line)
		for i, r := range c.Rules() {
			to := table.leads(r)
			fmt.Fprintln(&b, r.Line == int32(c.line(i)), r.Line, r.canonical(), to != nil, to != nil && table.byName[to.Name] == to)
		}
	}
	fmt.Fprintln(&b, table.Lines())
	return b.String()
}

// packedText is a text of chains, without its COMMIT, of which each goes to some before it,
// with sources of all lengths at the edges of each other.
func packedText(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("*filter\n:DOCKER-USER - [0:0]\n")
	chains := rapid.IntRange(1, 6).Draw(t, "chains")
	for n := range chains {
		name := fmt.Sprintf("SEAWALL-xa-%d", n)
		fmt.Fprintf(&b, "# policy a: sources\n:%s - [0:0]\n", name)
		for range rapid.IntRange(0, 5).Draw(t, "rules") {
			b.WriteString("-A " + name + drawnSource(t))
			if n > 0 && rapid.Bool().Draw(t, "goes on") {
				fmt.Fprintf(&b, " -g SEAWALL-xa-%d\n", rapid.IntRange(0, n-1).Draw(t, "to"))
			} else {
				b.WriteString(rapid.SampledFrom([]string{" -j DROP\n", " -j RETURN\n", "\n"}).Draw(t, "target"))
			}
		}
	}
	fmt.Fprintf(&b, "-A DOCKER-USER -s 10.0.0.0/7 -g SEAWALL-xa-%d\n-A DOCKER-USER -j SEAWALL-xa-%[1]d\n-A DOCKER-USER -s 128.0.0.0/1 -j DROP\n", chains-1)
	return b.String()
}

func drawnSource(t *rapid.T) string {
	if rapid.IntRange(0, 4).Draw(t, "source") == 0 {
		return ""
	}
	base := netip.MustParseAddr(rapid.SampledFrom([]string{"0.0.0.0", "10.0.0.0", "10.128.0.0", "10.255.255.255", "127.255.255.255", "128.0.0.0", "255.255.255.255"}).Draw(t, "base"))
	prefix := netip.PrefixFrom(base, rapid.SampledFrom([]int{1, 7, 8, 9, 24, 31, 32}).Draw(t, "length")).Masked()
	return rapid.SampledFrom([]string{" -s ", " ! -s "}).Draw(t, "not") + prefix.String()
}

// TestPackedByHand judges what packed chains mean by walking through the lines of the text,
// for addresses at the edges of all sources.
func TestPackedByHand(t *testing.T) {
	var seen []packet.Verdict
	many(t, func(t *rapid.T) {
		text := packedText(t) + "COMMIT\n"
		f, err := Parse([]byte(text), Options{Family: packet.IPv4, ChainsOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		space := packet.NewSpace(packet.IPv4, "eth0", "docker0")
		store := space.Store()
		verdict, err := NewReader(store, space, f.Table("filter")).Call(packet.Forward)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(text, "\n")
		for _, a := range edges(lines) {
			want := packet.Pass
			if does, _ := walked(lines, DockerUser, a); does == "DROP" {
				want = packet.Deny
			}
			point := space.Point(packet.Packet{Hook: packet.Forward, Source: a, In: "eth0", Out: "docker0"})
			if got := packet.Verdict(store.Eval(verdict, point)); got != want {
				t.Fatalf("%s%v: %v, by hand %v", text, a, got, want)
			}
			if !slices.Contains(seen, want) {
				seen = append(seen, want)
			}
		}
	})
	if len(seen) != 2 {
		t.Errorf("only %v came up", seen)
	}
}

// A part of a table, up to a line, is the same whether its rules were packed or not.
func TestPackedUpTo(t *testing.T) {
	many(t, func(t *rapid.T) {
		text := packedText(t) + "COMMIT\n"
		whole, err := Parse([]byte(text), Options{Family: packet.IPv4})
		if err != nil {
			t.Fatal(err)
		}
		lean, err := Parse([]byte(text), Options{Family: packet.IPv4, ChainsOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		line := rapid.IntRange(1, strings.Count(text, "\n")).Draw(t, "line")
		want, got := whole.Table("filter").UpTo(line).(*Table), lean.Table("filter").UpTo(line).(*Table)
		meansTheSame(t, want, got)
		meansTheSame(t, whole.Table("filter"), lean.Table("filter")) // which are as they were
	})
}

// edges are the first and the last addresses of all sources in a text, and those beside
// them.
func edges(lines []string) []netip.Addr {
	list := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255")}
	for _, line := range lines {
		_, after, ok := strings.Cut(line, "-s ")
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(after, " ")
		p := netip.MustParsePrefix(word)
		last := p.Addr().As4()
		for bit := p.Bits(); bit < 32; bit++ {
			last[bit/8] |= 1 << (7 - bit%8)
		}
		end := netip.AddrFrom4(last)
		for _, a := range []netip.Addr{p.Addr().Prev(), p.Addr(), end, end.Next()} {
			if a.IsValid() {
				list = append(list, a)
			}
		}
	}
	return list
}

// walked is what the lines of a chain do with an address: DROP, RETURN, or "" at its end.
// What a chain that was gone to does not drop is done with this one too.
func walked(lines []string, chain string, a netip.Addr) (does string, ended bool) {
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, "-A "+chain)
		if !ok || rest != "" && rest[0] != ' ' {
			continue
		}
		words := strings.Fields(rest)
		not := len(words) > 0 && words[0] == "!"
		if not {
			words = words[1:]
		}
		if len(words) > 0 && words[0] == "-s" {
			if netip.MustParsePrefix(words[1]).Contains(a) == not {
				continue
			}
			words = words[2:]
		}
		switch {
		case len(words) == 0:
			continue
		case words[1] == "DROP" || words[1] == "RETURN":
			return words[1], true
		}
		if does, _ := walked(lines, words[1], a); does == "DROP" || words[0] == "-g" {
			return does, true
		}
	}
	return "", false
}
