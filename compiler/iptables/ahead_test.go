package iptables

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/packet"
	"pgregory.net/rapid"
)

// TestReadAheadIsTheSame compares what is read of a text in two parts at once with what is
// read of it line by line, with lines in it that give those after them another meaning.
func TestReadAheadIsTheSame(t *testing.T) {
	ahead := 0
	many(t, func(t *rapid.T) {
		text := aheadText(t)
		if taken(text) {
			ahead++
		}
		flush := rapid.Bool().Draw(t, "flush")
		want, wantErr := parsedIn(text, flush, len(text)+1)
		got, gotErr := parsedIn(text, flush, 1)
		if diff := cmp.Diff(fmt.Sprint(want, wantErr), fmt.Sprint(got, gotErr)); diff != "" {
			t.Fatalf("%s\n%s", text, diff)
		}
	})
	if ahead < 20 {
		t.Errorf("only %d texts were read ahead", ahead)
	}
}

// A chain that was packed and has a rule that cannot be is read as others are. What is read
// ahead does not know all chains then.
func TestReadAheadStopsAtWhatIsNotPacked(t *testing.T) {
	text := []byte("*filter\n:DOCKER-USER - [0:0]\n# a comment, so that the next chain is in the first half of the text\n:SEAWALL-xa-00 - [0:0]\n" +
		"-A SEAWALL-xa-00 -s 10.0.0.0/16 -j DROP\n:SEAWALL-xa-10 - [0:0]\n-A SEAWALL-xa-10 -s 10.0.0.0/16 -g SEAWALL-xa-00\n-A SEAWALL-xa-10 -p tcp -j DROP\n" +
		"-A DOCKER-USER -j SEAWALL-xa-10\nCOMMIT\n")
	if !taken(text) {
		t.Fatal("nothing was read ahead")
	}
	want, _ := parsedIn(text, false, len(text)+1)
	got, err := parsedIn(text, false, 1)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	if !strings.Contains(got, "-A SEAWALL-xa-10 -s 10.0.0.0/16 -g SEAWALL-xa-00 true true") {
		t.Errorf("read as\n%s", got)
	}
}

// many checks more cases than rapid does by itself.
func many(t *testing.T, check func(*rapid.T)) {
	for range 10 {
		rapid.Check(t, check)
	}
}

// taken reports whether the second part of a text was taken over.
func taken(text []byte) bool {
	defer func(n int) { aheadFrom = n }(aheadFrom)
	aheadFrom = 1
	opt := Options{Family: packet.IPv4, ChainsOnly: true, NoFlush: true}
	a := readAhead(text, opt)
	if a == nil {
		return false
	}
	p := newParser(text, opt)
	for _, line := range strings.Split(string(text[:a.from]), "\n") {
		if err := p.anyLine(line, true); err != nil {
			return false
		}
	}
	_, ok := p.takeOver(a)
	return ok
}

// parsedIn describes all that was read of a text, with the line of each rule.
func parsedIn(text []byte, flush bool, from int) (string, error) {
	defer func(n int) { aheadFrom = n }(aheadFrom)
	aheadFrom = from
	f, err := Parse(text, Options{Family: packet.IPv4, ChainsOnly: true, NoFlush: !flush, Flush: flush})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, t := range f.Tables {
		fmt.Fprintln(&b, t.Name, t.Sections)
		for _, c := range t.Chains {
			fmt.Fprintln(&b, c.Name, c.Policy, c.Line, c.Partial, c.announced, t.byName[c.Name] == c)
			for _, r := range c.Rules() {
				to := t.leads(r)
				fmt.Fprintln(&b, r.Line, r.String(c.Name), to != nil, to != nil && t.byName[to.Name] == to)
			}
		}
	}
	return b.String(), nil
}

// aheadText is a text of chains as Seawall writes them, with some lines of others.
func aheadText(t *rapid.T) []byte {
	names := rapid.SampledFrom([]string{"SEAWALL-xa-00", "SEAWALL-xa-10", "SEAWALL-xa-20", "SEAWALL-xb-00", "SEAWALL-xb-10", "SEAWALL-F"})
	foreign := rapid.SampledFrom([]string{":LOG - [0:0]", "-A FORWARD -j SEAWALL-xa-00", "-A FORWARD -j NOWHERE", "-X SEAWALL-xa-10", "-E SEAWALL-xa-10 OTHER", "-F SEAWALL-xa-20",
		"COMMIT\n*nat\n:LOG - [0:0]\nCOMMIT\n*filter", "COMMIT\n*filter", "COMMIT\n*raw", ":OTHER - [0:0]", "-A OTHER -s 10.0.0.0/8 -j DROP", "# Table `filter' is incompatible, use 'nft' tool.",
		"-A FORWARD -p tcp -m conntrack --ctorigdstport 80 -j RETURN", "-P FORWARD DROP", "", "#", "nonsense", "-D SEAWALL-xa-00 -j DROP", "-N SEAWALL-xa-20"})
	targets := rapid.SampledFrom([]string{"-j DROP", "-j RETURN", "-j LOG --log-prefix \"x: \"", "-j NOWHERE", "-j OTHER", "-j REJECT --reject-with tcp-reset", "-p tcp -j DROP", ""})
	var b bytes.Buffer
	b.WriteString("*filter\n:DOCKER-USER - [0:0]\n")
	odd := rapid.SampledFrom([]int{1 << 20, 1 << 20, 30, 6}).Draw(t, "odd")
	for range rapid.IntRange(2, 12).Draw(t, "chains") {
		name := names.Draw(t, "name")
		fmt.Fprintf(&b, "# policy a: sources\n:%s - [0:0]\n", name)
		for range rapid.IntRange(0, 4).Draw(t, "rules") {
			if rapid.IntRange(0, odd).Draw(t, "which") == 1 {
				b.WriteString(foreign.Draw(t, "foreign") + "\n")
			}
			target := targets.Draw(t, "target")
			if rapid.IntRange(0, 3).Draw(t, "goto") == 0 {
				target = "-g " + names.Draw(t, "to")
			}
			fmt.Fprintf(&b, "-A %s -s 10.%d.0.0/16 %s\n", name, rapid.IntRange(0, 9).Draw(t, "source"), target)
		}
	}
	b.WriteString("-A DOCKER-USER -j SEAWALL-xa-00\nCOMMIT\n")
	return b.Bytes()
}
