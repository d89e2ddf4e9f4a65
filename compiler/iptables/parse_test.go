package iptables

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/packet"
)

// captured returns texts that iptables-save printed, by file name: from hosts with
// Docker, and of rules with many extensions.
func captured(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../../testdata/captures/*tables-save")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../testdata/rules/*.save")
	if err != nil || len(names) < 4 || len(more) < 3 {
		t.Fatalf("%d captures, %d other files, %v", len(names), len(more), err)
	}
	texts := map[string][]byte{}
	for _, name := range append(names, more...) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = src
	}
	return texts
}

// savedRule matches a rule as iptables-save prints it, with or without counters.
var savedRule = regexp.MustCompile(`^(?:\[\d+:\d+\] )?(-A (\S+) (.*))$`)

// placed is a rule and the chain that contains it.
type placed struct {
	chain string
	rule  *Rule
}

// rulesAt returns the rules of a file by their line.
func rulesAt(f *File) map[int]placed {
	all := map[int]placed{}
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				all[int(r.Line)] = placed{c.Name, r}
			}
		}
	}
	return all
}

// Parse accepts what iptables-save printed, and each rule is printed exactly as in
// the file, both from its own words and from what was parsed.
func TestSavedRulesArePrintedAsRead(t *testing.T) {
	rules := 0
	for name, src := range captured(t) {
		f, err := Parse(src, Options{Family: familyOf(name, src)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(string(src), string(Print(f))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		all := rulesAt(f)
		for i, line := range strings.Split(string(src), "\n") {
			words := savedRule.FindStringSubmatch(line)
			got, ok := all[i+1]
			if ok != (words != nil) {
				t.Errorf("%s, line %d: %q: is a rule: %t", name, i+1, line, ok)
			}
			if !ok || words == nil {
				continue
			}
			rules++
			if text := got.rule.String(got.chain); text != words[1] {
				t.Errorf("%s, line %d:\n got %s\nwant %s", name, i+1, text, words[1])
			}
			if got.rule.Unread == "" && got.rule.canonical() != words[3] {
				t.Errorf("%s, line %d was not parsed correctly:\n got %s\nwant %s", name, i+1, got.rule.canonical(), words[3])
			}
		}
	}
	if rules < 80 {
		t.Errorf("only %d rules were read", rules)
	}
}

// familyOf returns the family of a file, from its name or its first line.
func familyOf(name string, src []byte) packet.Family {
	first, _, _ := strings.Cut(string(src), "\n")
	if strings.Contains(name, "ip6tables") || strings.Contains(first, "ip6tables") {
		return packet.IPv6
	}
	return packet.IPv4
}

// wholeTable returns a filter table that contains the given lines.
func wholeTable(lines string) []byte {
	return []byte("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:mine - [0:0]\n" + lines + "\nCOMMIT\n")
}

// understood returns the rules of a filter table as iptables-save would print them,
// built from what was parsed, not from their words.
func understood(f *File) []string {
	var list []string
	for _, c := range f.Table("filter").Chains {
		for _, r := range c.Rules() {
			list = append(list, "-A "+c.Name+" "+r.canonical())
		}
	}
	return list
}

// Text that people type is parsed into what iptables-save prints after it was
// loaded (the right side is what iptables 1.8.9 printed).
func TestParseWhatPeopleType(t *testing.T) {
	for _, test := range []struct{ typed, saved string }{
		{`--append INPUT --source 10.1.2.3/8 --protocol TCP --dport 80 --jump DROP`, `-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j DROP`},
		{`-A INPUT -p tcp -m conntrack --ctstate NEW --dport 80 -j DROP -m comment --comment hi`, `-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -m comment --comment hi -j DROP`},
		{`-A INPUT -s 10.0.0.1,10.0.0.2 -j DROP`, "-A INPUT -s 10.0.0.1/32 -j DROP\n-A INPUT -s 10.0.0.2/32 -j DROP"},
		{`-A INPUT -s 10.0.0.0/255.255.0.0 ! -d 1.2.3.4 -j DROP`, `-A INPUT -s 10.0.0.0/16 ! -d 1.2.3.4/32 -j DROP`},
		{`-A INPUT -m comment --comment "-j ACCEPT \"x\" \\ y" -j DROP`, `-A INPUT -m comment --comment "-j ACCEPT \"x\" \\ y" -j DROP`},
		{`-A INPUT -m comment --comment it's -j DROP`, `-A INPUT -m comment --comment "it\'s" -j DROP`},
		{`-A INPUT -m comment --comment -j -j DROP`, `-A INPUT -m comment --comment -j -j DROP`},
		{`-A FORWARD -p 17 -i eth+ ! -o lo -g mine`, `-A FORWARD -i eth+ ! -o lo -p udp -g mine`},
		{`[3:180] -A INPUT -j LOG --log-prefix "a b "`, `-A INPUT -j LOG --log-prefix "a b "`},
		{"-A INPUT -s 1.1.1.1 -j DROP\n-I INPUT -s 2.2.2.2 -j DROP\n-I INPUT 2 -s 3.3.3.3 -j DROP",
			"-A INPUT -s 2.2.2.2/32 -j DROP\n-A INPUT -s 3.3.3.3/32 -j DROP\n-A INPUT -s 1.1.1.1/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-R INPUT 2 -s 2.2.2.2 -j DROP", "-A INPUT -j DROP\n-A INPUT -s 2.2.2.2/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-D INPUT 1", "-A INPUT -s 1.1.1.1/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-D INPUT -s 1.1.1.1/32 -j DROP", "-A INPUT -j DROP"},
		{"-A INPUT -j DROP\nCOMMIT\n*filter\n-A INPUT -j ACCEPT", "-A INPUT -j ACCEPT"},
	} {
		f, err := Parse(wholeTable(test.typed), Options{Family: packet.IPv4})
		if err != nil {
			t.Errorf("%s: %v", test.typed, err)
			continue
		}
		if diff := cmp.Diff(strings.Split(test.saved, "\n"), understood(f)); diff != "" {
			t.Errorf("%s:\n%s", test.typed, diff)
		}
	}
}

// A rule keeps the words that it was typed in, including unknown ones.
func TestRulesKeepTheirWords(t *testing.T) {
	for _, line := range []string{
		`-A INPUT -s 10.1.2.3/8 --protocol TCP --dport 80 --jump DROP`,
		`-A INPUT -m comment --comment it's -j DROP`,
		`-A INPUT -m set ! --match-set x src -m mystery --what is this -j NFQUEUE --queue-num 3`,
	} {
		f, err := Parse(wholeTable(line), Options{Family: packet.IPv4})
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if got := f.Table("filter").Chain("INPUT").Rules()[0].String("INPUT"); got != line {
			t.Errorf("got %s\nwant %s", got, line)
		}
	}
	f, err := Parse(wholeTable("-A INPUT -m mystery --what is this -j DROP"), Options{Family: packet.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Table("filter").Chain("INPUT").Rules()[0].Unread; got != "--what is this -j DROP" {
		t.Errorf("unread: %q", got)
	}
}

func TestParseListing(t *testing.T) {
	f, err := Parse([]byte("-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n"), Options{Family: packet.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	filter := f.Table("filter")
	if c := filter.Chain("FORWARD"); c == nil || c.Policy != "DROP" || c.Len() != 1 || c.Partial {
		t.Errorf("FORWARD is %+v", c)
	}
	if c := filter.Chain("DOCKER-USER"); c == nil || c.Partial {
		t.Errorf("DOCKER-USER is %+v", c)
	}
}

// mistakes lists texts that iptables-restore 1.8.9 refuses, except for the one with
// a host name, which could resolve to a different address at each load. An empty
// want accepts any message.
var mistakes = []struct{ text, want string }{
	{"*filter\n-A INPUT -j DROP\n", "line 2: the filter table has no COMMIT, so iptables-restore would not load it"},
	{"*filter\nCOMMIT\n-A INPUT -j DROP\n", `line 3: only comments and lines such as "*filter" are allowed outside a table`},
	{"*filter\nhello world\nCOMMIT\n", `line 2: expected an option, not "hello"`},
	{"*filter\n-A INPUT -s example.org -j DROP\nCOMMIT\n", `line 2: "example.org" is not an address; a host name would be looked up each time the file is loaded, and could resolve to a different address`},
	{"*filter\n-A INPUT ! -s 1.1.1.1,2.2.2.2 -j DROP\nCOMMIT\n", `line 2: "!" is not allowed with a list of addresses`},
	{"*filter\n-A INPUT -j DROP -j ACCEPT\nCOMMIT\n", "line 2: -j can be given only once in a rule"},
	{"*filter\n-A INPUT --dport 80 -j DROP\nCOMMIT\n", "line 2: --dport is not an option of iptables or of a module that the rule loads"},
	{"*filter\n-A INPUT -s\nCOMMIT\n", "line 2: -s needs a value"},
	{"*filter\n:INPUT ACCEPT\n-A INPUT -j DROP\n-R INPUT 1 -s 1.1.1.1,2.2.2.2 -j DROP\nCOMMIT\n", "line 4: -R cannot be used with a list of addresses"},
	{"*filter\n:INPUT ACCEPT\n-A INPUT -j DROP\n-R INPUT 2 -j DROP\nCOMMIT\n", "line 4: the chain INPUT has 1 rule; there is no rule 2"},
	{"*filter\n-A INPUT ! -j DROP\nCOMMIT\n", "line 2: -j cannot be negated"},
	{"*filter\n:X\nCOMMIT\n", `line 2: a chain declaration must have the form ":NAME POLICY [PACKETS:BYTES]"`},
	{"*filter\n-A INPUT -p 6 -p6 -j DROP\nCOMMIT\n", "line 2: -p can be given only once in a rule"},
	{"*filter\r\n-A INPUT -j DROP\r\nCOMMIT\r\n", ""}, // CRLF line endings
	{"*filter\n-A INPUT -o lo -j DROP\nCOMMIT\n", "line 2: -o cannot match in INPUT"},
}

func TestParseErrors(t *testing.T) {
	for _, test := range mistakes {
		_, err := Parse([]byte(test.text), Options{Family: packet.IPv4})
		if err == nil || test.want != "" && err.Error() != test.want {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

// The fast path for canonical lines reads the same as the parser, which reads lines
// in any other spelling; and the rules are the same without their words.
func TestQuickAndSlowReadTheSame(t *testing.T) {
	names, err := filepath.Glob("../../examples/*/compiled/*tables")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	texts := captured(t)
	for _, name := range names {
		if texts[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	for name, src := range texts {
		family := familyOf(name, src)
		quick, err := Parse(src, Options{Family: family})
		if err != nil {
			t.Fatal(err)
		}
		slow, err := Parse([]byte(strings.ReplaceAll(string(src), "\n-A ", "\n--append ")), Options{Family: family})
		if err != nil {
			t.Fatal(err)
		}
		chains, err := Parse(src, Options{Family: family, ChainsOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range quick.Tables {
			sameChains(t, name+", slowly", table, slow.Table(table.Name), ownWords)
			sameChains(t, name+", slowly", table, slow.Table(table.Name), (*Rule).canonical)
			sameChains(t, name+", chains only", table, chains.Table(table.Name), (*Rule).canonical)
		}
	}
}

// ownWords returns the words of a rule, however they are quoted.
func ownWords(r *Rule) string {
	words, err := split(r.Spec(), false)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", words)
}

// sameChains compares two tables by the texts of their rules.
func sameChains(t *testing.T, name string, want, got *Table, text func(*Rule) string) {
	t.Helper()
	if len(want.Chains) != len(got.Chains) {
		t.Errorf("%s: %d chains, want %d", name, len(got.Chains), len(want.Chains))
	}
	for _, c := range want.Chains {
		other := got.Chain(c.Name)
		if other == nil || other.Len() != c.Len() || other.Policy != c.Policy || other.Partial != c.Partial {
			t.Errorf("%s: %s: chains differ", name, c.Name)
			continue
		}
		for i, r := range c.Rules() {
			if text(r) != text(other.Rules()[i]) || r.Line != other.Rules()[i].Line {
				t.Errorf("%s: rules differ: %q and %q", name, text(r), text(other.Rules()[i]))
			}
		}
	}
}
