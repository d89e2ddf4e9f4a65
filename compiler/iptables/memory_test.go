package iptables

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/packet"
	"pgregory.net/rapid"
)

// TestRememberedIsTheSame reads several texts with one memory, and each by itself, and
// compares the rules and what FORWARD means.
func TestRememberedIsTheSame(t *testing.T) {
	shared := 0
	many(t, func(t *rapid.T) {
		m := NewMemory()
		flush := rapid.Bool().Draw(t, "flush")
		var texts []string
		for range rapid.IntRange(2, 6).Draw(t, "texts") {
			write := rapid.SampledFrom([]func(*rapid.T) []byte{aheadText, likeText, likeText}).Draw(t, "kind")
			texts = append(texts, string(write(t)))
		}
		if rapid.Bool().Draw(t, "again") {
			texts = append(texts, texts...)
		}
		for _, text := range texts {
			opt := Options{Family: packet.IPv4, ChainsOnly: true, NoFlush: !flush, Flush: flush}
			alone, aloneErr := Parse([]byte(text), opt)
			opt.Memory = m
			together, togetherErr := Parse([]byte(text), opt)
			if diff := cmp.Diff(fmt.Sprint(aloneErr), fmt.Sprint(togetherErr)); diff != "" {
				t.Fatalf("%s\n%s", text, diff)
			}
			if aloneErr != nil {
				continue
			}
			if diff := cmp.Diff(withoutLines(alone), withoutLines(together)); diff != "" {
				t.Fatalf("%s\n%s", text, diff)
			}
			meansTheSame(t, alone.Table("filter"), together.Table("filter"))
			if slices.ContainsFunc(together.Table("filter").Chains, func(c *Chain) bool { return c.shared }) {
				shared++
			}
		}
	})
	if shared < 50 {
		t.Errorf("only %d texts had chains of others", shared)
	}
}

// A line for a chain that was complete when it was remembered leaves what is remembered alone,
// also where no rule of another chain stands between.
func TestRememberedStaysAsItWas(t *testing.T) {
	const chains = "*filter\n:SEAWALL-xa-20 - [0:0]\n-A SEAWALL-xa-20 -s 10.0.0.0/15 -j DROP\n:SEAWALL-xa-10 - [0:0]\n"
	m := NewMemory()
	rules := func(text string) int {
		f, err := Parse([]byte(text), Options{Family: packet.IPv4, ChainsOnly: true, NoFlush: true, Memory: m})
		if err != nil {
			t.Fatal(err)
		}
		return len(f.Table("filter").Chain("SEAWALL-xa-20").Rules())
	}
	for range 2 {
		if got := rules(chains + "-A SEAWALL-xa-20 -s 10.0.0.0/16 -j DROP\nCOMMIT\n"); got != 2 {
			t.Errorf("%d rules, want 2", got)
		}
		if got := rules(chains + "COMMIT\n"); got != 1 {
			t.Errorf("%d rules, want 1", got)
		}
	}
}

// withoutLines describes what was read of a text, but for the lines.
func withoutLines(f *File) string {
	var b strings.Builder
	for _, t := range f.Tables {
		fmt.Fprintln(&b, t.Name, t.Sections)
		for _, c := range t.Chains {
			fmt.Fprintln(&b, c.Name, c.Policy, c.Partial, c.announced, t.byName[c.Name] == c)
			for _, r := range c.Rules() {
				to := t.leads(r)
				fmt.Fprintln(&b, r.String(c.Name), to != nil, to != nil && t.byName[to.Name] == to)
			}
		}
	}
	return b.String()
}

func meansTheSame(t *rapid.T, a, b *Table) {
	space := packet.NewSpace(packet.IPv4, append(a.Patterns(), b.Patterns()...)...)
	store := space.Store()
	one, two := NewReader(store, space, a), NewReader(store, space, b)
	for _, hook := range packet.Hooks {
		want, wantErr := one.Hook(hook)
		got, gotErr := two.Hook(hook)
		if want != got || (wantErr == nil) != (gotErr == nil) {
			t.Fatalf("%s: %v (%v) alone, %v (%v) with the memory", hook, want, wantErr, got, gotErr)
		}
	}
}

// likeText is a text of a few chains, so small that several texts have many of them in
// common, some with lines that change chains which are complete.
func likeText(t *rapid.T) []byte {
	names := []string{"SEAWALL-xa-30", "SEAWALL-xa-20", "SEAWALL-xa-10", "SEAWALL-xa-00"}
	var b strings.Builder
	b.WriteString("*filter\n:DOCKER-USER - [0:0]\n")
	if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
		b.WriteString(":OTHER - [0:0]\n-A OTHER -s 10.0.0.0/16 -j DROP\n")
	}
	if rapid.IntRange(0, 5).Draw(t, "early") == 0 {
		b.WriteString(":SEAWALL-xa-20 - [0:0]\n-A DOCKER-USER -s 10.3.0.0/16 -j RETURN\n")
	}
	for i, name := range names {
		if !strings.Contains(b.String(), ":"+name) {
			fmt.Fprintf(&b, ":%s - [0:0]\n", name)
		}
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			targets := []string{"-j DROP", "-j RETURN"}
			if rapid.IntRange(0, 5).Draw(t, "odd") == 0 {
				targets = append(targets, "-j OTHER", "-j SEAWALL-xa-30", "-p tcp -j DROP")
			}
			for _, to := range names[:i] {
				targets = append(targets, "-g "+to)
			}
			fmt.Fprintf(&b, "-A %s -s 10.%d.0.0/15 %s\n", name, 2*rapid.IntRange(0, 1).Draw(t, "source"), rapid.SampledFrom(targets).Draw(t, "target"))
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "late") == 0 {
		late := []string{"-A SEAWALL-xa-20 -s 10.0.0.0/16 -j DROP", "-I SEAWALL-xa-30 -j RETURN", "-F SEAWALL-xa-20", "-F", "-E SEAWALL-xa-10 SEAWALL-xa-99", "-E SEAWALL-xa-30 OTHERS",
			":SEAWALL-xa-30 - [0:0]", "COMMIT\n*filter", "-D SEAWALL-xa-10 1", "-R SEAWALL-xa-10 1 -j DROP", "-Z"}
		b.WriteString(rapid.SampledFrom(late).Draw(t, "line") + "\n")
	}
	b.WriteString("-A DOCKER-USER -j SEAWALL-xa-00\nCOMMIT\n")
	return []byte(b.String())
}
