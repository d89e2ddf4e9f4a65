package rules

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What iptables-save printed comes back as the same bytes.
func TestPrintOfParseIsTheSame(t *testing.T) {
	files, err := filepath.Glob("../../testdata/captures/*tables-save")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../testdata/rules/*.save")
	if err != nil || len(files) != 4 || len(more) < 2 {
		t.Fatalf("%d captures, %d other files, %v", len(files), len(more), err)
	}
	for _, name := range append(files, more...) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(string(src), string(Print(f))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// Text that people type comes out as iptables-save would print it after it was
// loaded (the right side is what iptables 1.8.9 printed).
func TestParseWhatPeopleType(t *testing.T) {
	for _, test := range []struct{ typed, saved string }{
		{`--append INPUT --source 10.1.2.3/8 --protocol TCP --dport 80 --jump DROP`, `-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j DROP`},
		{`-A INPUT -p tcp -m conntrack --ctstate NEW --dport 80 -j DROP -m comment --comment hi`, `-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -m comment --comment hi -j DROP`},
		{`-A INPUT -s 10.0.0.1,10.0.0.2 -j DROP`, "-A INPUT -s 10.0.0.1/32 -j DROP\n-A INPUT -s 10.0.0.2/32 -j DROP"},
		{`-A INPUT -s 10.0.0.0/255.255.0.0 ! -d 1.2.3.4 -j DROP`, `-A INPUT -s 10.0.0.0/16 ! -d 1.2.3.4/32 -j DROP`},
		{`-A INPUT -m comment --comment "-j ACCEPT \"x\" \\ y" -j DROP`, `-A INPUT -m comment --comment "-j ACCEPT \"x\" \\ y" -j DROP`},
		{`-A INPUT -m comment --comment it's -j DROP`, `-A INPUT -m comment --comment "it\'s" -j DROP`},
		{`-A INPUT -p 6 -p6 -j DROP`, ""},
		{`-A INPUT -m comment --comment -j -j DROP`, `-A INPUT -m comment --comment -j -j DROP`},
		{`-A INPUT -p 17 -i eth+ ! -o lo -g mine`, `-A INPUT -i eth+ ! -o lo -p udp -g mine`},
		{`[3:180] -A INPUT -j LOG --log-prefix "a b "`, `[3:180] -A INPUT -j LOG --log-prefix "a b "`},
		{"-A INPUT -s 1.1.1.1 -j DROP\n-I INPUT -s 2.2.2.2 -j DROP\n-I INPUT 2 -s 3.3.3.3 -j DROP",
			"-A INPUT -s 2.2.2.2/32 -j DROP\n-A INPUT -s 3.3.3.3/32 -j DROP\n-A INPUT -s 1.1.1.1/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-R INPUT 2 -s 2.2.2.2 -j DROP", "-A INPUT -j DROP\n-A INPUT -s 2.2.2.2/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-D INPUT 1", "-A INPUT -s 1.1.1.1/32 -j DROP"},
		{"-A INPUT -j DROP\n-A INPUT -s 1.1.1.1 -j DROP\n-D INPUT -s 1.1.1.1/32 -j DROP", "-A INPUT -j DROP"},
		{"-A INPUT -m set ! --match-set x src -m mystery --what is this -j NFQUEUE --queue-num 3", "-A INPUT -m set ! --match-set x src -m mystery --what is this -j NFQUEUE --queue-num 3"},
	} {
		f, err := Parse([]byte("*filter\r\n" + test.typed + "\r\nCOMMIT\r\n"))
		if test.saved == "" {
			if err == nil {
				t.Errorf("%s: no error", test.typed)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.typed, err)
			continue
		}
		if diff := cmp.Diff("*filter\n"+test.saved+"\nCOMMIT\n", string(Print(f))); diff != "" {
			t.Errorf("%s:\n%s", test.typed, diff)
		}
	}
}

func TestParseListing(t *testing.T) {
	f, err := Parse([]byte("-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n"))
	if err != nil {
		t.Fatal(err)
	}
	filter := f.Table("filter")
	if c := filter.Chain("FORWARD"); c == nil || c.Policy != "DROP" || len(c.Rules) != 1 || c.Implied {
		t.Errorf("FORWARD is %+v", c)
	}
	if c := filter.Chain("DOCKER-USER"); c == nil || c.Implied {
		t.Errorf("DOCKER-USER is %+v", c)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"*filter\n-A INPUT -j DROP\n", "line 2: the table filter has no COMMIT, so iptables-restore would not load it"},
		{"*filter\nCOMMIT\n-A INPUT -j DROP\n", "line 3: a rule outside a table: a line such as *filter must come before it"},
		{"*filter\nCOMMIT\n*filter\nCOMMIT\n", "line 3: the table filter stands in the file twice; the second would flush the first"},
		{"*filter\nhello world\nCOMMIT\n", `line 2: "hello" starts no line of a rules file: a rule starts with -A CHAIN`},
		{"*filter\n-A INPUT -s example.org -j DROP\nCOMMIT\n", `line 2: "example.org" is no address; a name would be looked up when the file is loaded, and mean another thing each time`},
		{"*filter\n-A INPUT ! -s 1.1.1.1,2.2.2.2 -j DROP\nCOMMIT\n", `line 2: "!" is not allowed with a list of addresses; iptables refuses it`},
		{"*filter\n-A INPUT -j DROP -j ACCEPT\nCOMMIT\n", "line 2: a rule has one target; this one has DROP and ACCEPT"},
		{"*filter\n-A INPUT --dport 80 -j DROP\nCOMMIT\n", "line 2: --dport needs -p with a protocol that knows it before it"},
		{"*filter\n-A INPUT -s\nCOMMIT\n", "line 2: -s needs a value"},
		{"*filter\n-A INPUT -j DROP\n-R INPUT 1 -s 1.1.1.1,2.2.2.2 -j DROP\nCOMMIT\n", "line 3: -R takes no list of addresses; iptables refuses it"},
		{"*filter\n-A INPUT -j DROP\n-R INPUT 2 -j DROP\nCOMMIT\n", "line 3: -R replaces a rule by its number, and the chain INPUT has 1 rules"},
		{"*filter\n-A INPUT ! -j DROP\nCOMMIT\n", "line 2: a target cannot be negated"},
		{"*filter\n:X\nCOMMIT\n", `line 2: a chain is declared as ":NAME POLICY [PACKETS:BYTES]"`},
	} {
		_, err := Parse([]byte(test.text))
		if err == nil || err.Error() != test.want {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

// FuzzParse: never a panic, and what was read is printed so that it is read the
// same again: nothing is lost on the way.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../testdata/captures/*")
	more, _ := filepath.Glob("../../testdata/rules/*")
	for _, name := range append(files, more...) {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Add([]byte("*filter\n-A X ! -s 1.1.1.1 -p tcp --dport ! 80 -m comment --comment \"a\\\"b\" -j DROP\n-I X 1 -j Y\nCOMMIT\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		first, err := Parse(src)
		if err != nil {
			return
		}
		text := Print(first)
		second, err := Parse(text)
		if err != nil {
			t.Fatalf("%q was printed as %q, which is not read: %v", src, text, err)
		}
		if again := Print(second); string(again) != string(text) {
			t.Fatalf("%q was printed as %q, and then as %q", src, text, again)
		}
		if lost := linesOf(src, "-A ") - linesOf(text, "-A "); lost > 0 && !flushes(src) {
			t.Fatalf("%d rules were lost: %q, printed %q", lost, src, text)
		}
	})
}

func linesOf(text []byte, start string) int {
	n := 0
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, start) {
			n++
		}
	}
	return n
}

// flushes tells whether some line of a file takes rules away again.
func flushes(src []byte) bool {
	for _, line := range strings.Split(string(src), "\n") {
		line = strings.TrimLeft(line, " \t[]:0123456789")
		for _, verb := range []string{"-D", "-F", "--delete", "--flush"} {
			if strings.HasPrefix(line, verb) {
				return true
			}
		}
	}
	return strings.Contains(string(src), ":")
}

// The quick reading of canonical lines gives what the reading word by word gives,
// which a line of another spelling gets; and ParseChains the same chains.
func TestQuickAndSlowReadTheSame(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/compiled/*tables")
	more, _ := filepath.Glob("../../testdata/captures/*-save")
	if err != nil || len(files) < 10 || len(more) != 4 {
		t.Fatalf("%d files, %d captures, %v", len(files), len(more), err)
	}
	for _, name := range append(files, more...) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		quick, err := Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := Parse([]byte(strings.ReplaceAll(string(src), "\n-A ", "\n--append ")))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(Print(slow)), string(Print(quick))); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		chains, err := ParseChains(src)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range quick.Tables {
			for _, c := range table.Chains {
				got := chains.Table(table.Name).Chain(c.Name)
				if got == nil || len(got.Rules) != len(c.Rules) || got.Policy != c.Policy {
					t.Fatalf("%s: %s is another chain without its lines", name, c.Name)
				}
				for i, r := range c.Rules {
					if r.String(c.Name) != got.Rules[i].String(c.Name) {
						t.Errorf("%s: %s and %s", name, r.String(c.Name), got.Rules[i].String(c.Name))
					}
				}
			}
		}
	}
}

// Sets come back as they were written, whatever was there before.
func TestSetsAreReadAsIpsetWould(t *testing.T) {
	s := &Set{Name: "SEAWALL-s4-x", Family: IPv4, Entries: []SetEntry{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("10.8.0.0/16"), NoMatch: true}}}
	text := string(AppendSet(nil, s, "a policy"))
	sets, err := ParseSets([]byte(text + text))
	if err != nil || len(sets) != 1 || len(sets["SEAWALL-s4-x"].Entries) != 2 || !sets["SEAWALL-s4-x"].Entries[1].NoMatch {
		t.Errorf("%v, %v", sets, err)
	}
	for _, bad := range []string{"add x 10.0.0.0/8", "create x hash:net\nadd x 0.0.0.0/0", "create x hash:net\nadd x ::1", "create x hash:net\ncreate x hash:net",
		"create x hash:net\nadd x 10.0.0.1\nadd x 10.0.0.1", "create x hash:net\nswap x y", "create x", "what x", "create x hash:net\nadd x house"} {
		if _, err := ParseSets([]byte(bad)); err == nil {
			t.Errorf("no error: %q", bad)
		}
	}
	if sets, err := ParseSets([]byte("create p bitmap:port range 1-10\nadd p 5\ncreate x hash:net -exist\nadd x 10.0.0.1\nadd x 10.0.0.1 nomatch -exist\ndel x 10.9.0.0/16\n")); err != nil || len(sets) != 1 || !sets["x"].Entries[0].NoMatch {
		t.Errorf("%v, %v", sets, err)
	}
}

// FuzzParseSets: never a panic, and a set that was read is written so that it is
// read the same.
func FuzzParseSets(f *testing.F) {
	f.Add([]byte("create x hash:net family inet6\nadd x 2001:db8::/32 nomatch\nswap x y\n"))
	f.Add([]byte("create a hash:net\nadd a 10.0.0.0/8\ncreate b hash:net -exist\nswap a b\nrename a c\ndestroy b\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		sets, err := ParseSets(src)
		if err != nil {
			return
		}
		for _, s := range sets {
			fresh := *s
			fresh.Name = "again"
			again, err := ParseSets(AppendSet(nil, &fresh, "c"))
			if err != nil || len(again["again"].Entries) != len(s.Entries) {
				t.Errorf("%v: %v", s, err)
			}
		}
	})
}
