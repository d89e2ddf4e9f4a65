package ipset_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/packet"
)

func ExampleParse() {
	sets, err := ipset.Parse([]byte(`create office hash:net comment
add office 192.0.2.0/24 comment "the office"
add office 192.0.2.128/25 nomatch comment "but not its guests"
create guests hash:ip timeout 600
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range sets["office"].Entries {
		fmt.Println(e.Prefix, e.NoMatch)
	}
	fmt.Println("guests:", sets["guests"].Unknown)

	_, err = ipset.Parse([]byte("create office hash:net\nadd office gateway.example\n"))
	fmt.Println(err)
	// Output:
	// 192.0.2.0/24 false
	// 192.0.2.128/25 true
	// guests: its entries time out
	// line 2: "gateway.example" is not an address of IPv4; a name would be looked up when the file is loaded, and mean another thing each time
}

// show is the sets in a short form: NAME=entries, a nomatch with a "!", or
// NAME?reason.
func show(sets ipset.Sets) string {
	var list []string
	for name, s := range sets {
		if s.Unknown != "" {
			list = append(list, name+"?"+s.Unknown)
			continue
		}
		var entries []string
		for _, e := range s.Entries {
			text := e.Prefix.String()
			if e.Prefix.IsSingleIP() {
				text = e.Prefix.Addr().String()
			}
			if e.NoMatch {
				text = "!" + text
			}
			entries = append(entries, text)
		}
		slices.Sort(entries)
		list = append(list, name+"="+strings.Join(entries, ","))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// known are texts whose meaning was tried with ipset 7.17; those of which it is
// not the same with ipset are marked with differs, and the reason.
var known = []struct {
	text    string
	want    string // as show, or "line N"
	differs string
}{
	{text: "", want: ""},
	{text: "create x hash:net\nadd x 10.1.2.3/8\n", want: "x=10.0.0.0/8"},
	{text: "create x nethash --maxelem 0x2\nadd x 1.1.1.1\nadd x 1.1.1.2\nadd x 1.1.1.3\n", want: "line 4"},
	{text: "c x hash:net\na x 1.1.1.1/8\nd x 1.0.0.0/8\nsw x x\nren x y\nf y\nw y y\ne y x\ndes x\n", want: ""},
	{text: "new x hash:net\n--add x 1.0.0.0/8\n--a x 2.0.0.0/8\n-A x 3.0.0.0/8\n-D x 2.0.0.0/8\n", want: "x=1.0.0.0/8,3.0.0.0/8"},
	{text: "-N x iphash\n-W x x\n-E x y\n-F y\n-X y\n", want: ""},
	{text: "create x hash:net\nxx x\n", want: "line 2"},
	{text: "create x hash:net\nre x y\n", want: "line 2"},

	// -exist counts for all later lines, but not within a batch that runs.
	{text: "create x hash:ip -exist\ncreate x hash:ip\n", want: "x="},
	{text: "create x hash:ip\nadd x 1.1.1.1\nadd x 1.1.1.1\n", want: "line 3"},
	{text: "create x hash:ip\nadd x 1.1.1.1\nadd x 1.1.1.1 -exist\n", want: "line 3"},
	{text: "create x hash:ip\nadd x 1.1.1.1\nadd x 1.1.1.2 -exist\nadd x 1.1.1.1\n", want: "line 4"},
	{text: "create x hash:ip\nadd x 1.1.1.1\nCOMMIT\nadd x 1.1.1.1 -exist\nadd x 1.1.1.1\n", want: "x=1.1.1.1"},
	{text: "create x hash:ip\nadd x 1.1.1.1 -exist\ncreate y hash:ip\nadd x 1.1.1.1\n", want: "x=1.1.1.1 y="},
	{text: "create x hash:net\n-! add x 1.1.1.1\nadd x 1.1.1.1 nomatch\nadd x 1.1.1.2 nomatch\nadd x 1.1.1.2\n", want: "x=!1.1.1.1,1.1.1.2"},
	{text: "--exist create x hash:ip\nadd -q -! x 1.1.1.1 -s -r -n -t -resolve --quiet -o xml\n", want: "x=1.1.1.1"},
	{text: "---exist create x hash:ip\n", want: "line 1"},
	{text: "destroy y\n", want: "line 1"},
	{text: "destroy y -exist\n", want: ""},
	{text: "flush y -exist\n", want: "line 1"},
	{text: "create x hash:net\ndel x 1.1.1.1\n", want: "line 2"},
	{text: "create x hash:net -exist\ndel x 1.1.1.1\n", want: "x="},
	{text: "create x hash:ip\ncreate x hash:ip hashsize 64 initval 5 bucketsize 4 forceadd -exist\n", want: "x="},
	{text: "create x hash:ip\ncreate x hash:ip comment -exist\n", want: "line 2"},
	{text: "create x hash:ip\ncreate x hash:net -exist\n", want: "line 2"},
	{text: "create x hash:net\ncreate x hash:net family inet6 -exist\nadd x 1.1.1.1\n", want: "x=1.1.1.1"},

	// Quotes, comments, line ends.
	{text: "create x hash:net counters comment\nadd x 1.1.1.1 comment \"a nomatch b\" packets 5 bytes 6\n", want: "x=1.1.1.1"},
	{text: "create x hash:net comment\nadd x 1.1.1.1 comment -exist\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.1 comment a\n", want: "line 2"},
	{text: "create \"\" x hash:net\na\"dd\" x 1.1.1.1\"\"\n", want: "x=1.1.1.1"},
	{text: "create \"a b\" hash:net\nadd \"a b\" 1.1.1.1\nadd a 1.1.1.1\n", want: "line 3"},
	{text: "create \"a\tb\" hash:net\nadd a\tb 1.1.1.1\n", want: "line 2"},
	{text: "create x hash:ip\nadd x 1.1.1.1 \"foo\n", want: "x=1.1.1.1"}, // the last word is lost
	{text: "create x hash:ip\nadd x 1.1.1.1 \"foo", want: "line 2"},
	{text: "create x hash:ip\r\n\r\n \t# c\r\nadd x 1.1.1.1\r\nCOMMIT\r\n\vadd x 1.1.1.2", want: "x=1.1.1.1,1.1.1.2"},
	{text: "create x hash:ip\f\n", want: "line 1"},
	{text: "create x hash:ip\nadd x 1.1.1.1\x00 and what\n", want: "x=1.1.1.1"},
	{text: "COMMIT \n", want: "line 1"},
	{text: "COMMIT", want: "line 1"},
	{text: "#" + strings.Repeat("a", 1022) + "create x hash:ip\n", want: "x="}, // the tail of a comment
	{text: "create x hash:ip\n" + strings.Repeat(" ", 1022) + "add x 1.1.1.1\n", want: "line 2"},
	{text: "create x hash:ip " + strings.Repeat("counters ", 26) + "counters\n", want: "x="},
	{text: "create x hash:ip " + strings.Repeat("counters ", 26) + "counters\r\n", want: "line 1"},

	// Addresses.
	{text: "create x hash:net\nadd x 010.1\nadd x 167772\nadd x 1.2/0x18\nadd x 2.1.2.3/+24\nadd x 3.3.3.3/030\nadd x \"4.3.3.3/ 24\"\nadd x 5.1.1.1/-18446744073709551592\n",
		want: "x=0.2.143.92,1.0.0.0/24,2.1.2.0/24,3.3.3.0/24,4.3.3.0/24,5.1.1.0/24,8.0.0.1"},
	{text: "create x hash:net\nadd x 0x0b.0.0.1\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.1/0x\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.1/255.255.255.0\n", want: "line 2"},
	{text: "create x hash:net\nadd x 09.1.1.1\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.256\n", want: "line 2"},
	{text: "create x hash:net\nadd x ::1\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.1,2.2.2.2\n", want: "line 2"},
	{text: "create x hash:net\nadd x 0.0.0.0/0\n", want: "line 2"},
	{text: "create x hash:net\nadd x 0.0.0.0\nadd x 0.0.0.0/1\n", want: "x=0.0.0.0,0.0.0.0/1"},
	{text: "create x hash:net family inet6\nadd x 1.1.1.1\n", want: "line 2"},
	{text: "create x hash:net family inet6\nadd x fe80::1%lo\n", want: "line 2"},
	{text: "create x hash:net -6\nadd x ::FFFF:1.2.3.4\nadd x ::ffff:1.2.3.0/120\nadd x [2001:DB8::5]/64\nadd x ::\n",
		want: "x=2001:db8::/64,::,::ffff:1.2.3.0/120,::ffff:1.2.3.4"},
	{text: "create x hash:net -6\nadd x ::1-::5\n", want: "line 2"},
	{text: "create x hash:net\nadd x [10.1.2.3]-[10.1.2.9]\nadd x 10.1.3.9-10.1.3.4\n",
		want: "x=10.1.2.3,10.1.2.4/30,10.1.2.8/31,10.1.3.4/30,10.1.3.8/31"},
	{text: "create x hash:net\nadd x 0.0.0.0-255.255.255.255\n", want: "line 2"},
	{text: "create x hash:net\nadd x 0.0.0.1-255.255.255.255\n", want: "line 2"}, // single addresses
	{text: "create x hash:net\nadd x 0.0.0.5-128.0.0.9\ndel x 0.0.0.16/28\nadd x 0.0.0.0/28\ndel x 0.0.0.0/28\n",
		want: "x=0.0.0.128/25,0.0.0.32/27,0.0.0.5,0.0.0.6,0.0.0.64/26,0.0.0.7,0.0.0.8/29," +
			"0.0.1.0/24,0.0.128.0/17,0.0.16.0/20,0.0.2.0/23,0.0.32.0/19,0.0.4.0/22,0.0.64.0/18,0.0.8.0/21," +
			"0.1.0.0/16,0.128.0.0/9,0.16.0.0/12,0.2.0.0/15,0.32.0.0/11,0.4.0.0/14,0.64.0.0/10,0.8.0.0/13," +
			"1.0.0.0/8,128.0.0.0/29,128.0.0.8/31,16.0.0.0/4,2.0.0.0/7,32.0.0.0/3,4.0.0.0/6,64.0.0.0/2,8.0.0.0/5"},
	{text: "create x hash:ip\nadd x 10.0.0.1/30\nadd x 10.0.0.5\ndel x 10.0.0.1-10.0.0.2\n", want: "x=10.0.0.0,10.0.0.3,10.0.0.5"},
	{text: "create x hash:ip\nadd x 10.0.0.5\nadd x 10.0.0.1/30\nadd x 10.0.0.4\n", want: "x=10.0.0.0/30,10.0.0.4/31"},
	{text: "create x hash:ip\nadd x 10.0.0.1\nadd x 10.0.0.1/30\n", want: "line 3"},
	{text: "create x hash:ip\nadd x 0.0.0.0/30\n", want: "line 2"},
	{text: "create x hash:ip\nadd x 10.0.0.0/15\n", want: "line 2"}, // more than maxelem
	{text: "create x hash:ip -6\nadd x ::1/128\nadd x ::2\n", want: "x=::1,::2"},
	{text: "create x hash:ip -6\nadd x ::1/127\n", want: "line 2"},
	{text: "create x hash:ip -6\nadd x ::1/0x80\n", want: "line 2"},
	{text: "create x hash:ip -6\nadd x ::\n", want: "line 2"},
	{text: "create x hash:ip\nadd x 1.1.1.1 nomatch\n", want: "line 2"},
	{text: "create x hash:net\nadd x 1.1.1.1\ndel x 1.1.1.1 nomatch\n", want: "line 3"},

	// Options of create.
	{text: "create x hash:net family any\n", want: "line 1"},
	{text: "create x hash:net family inet -6\n", want: "line 1"},
	{text: "create x hash:ip family any netmask 32\nadd x 1.1.1.1\n", want: "x=1.1.1.1"},
	{text: "create x hash:ip family unspec bitmask 255.255.255.255\nadd x 1.1.1.1\n", want: "x=1.1.1.1"},
	{text: "create x hash:net counters counters forceadd\n", want: "x?forceadd: when it is full, other entries go"},
	{text: "create x hash:net maxelem 5 maxelem 5\n", want: "line 1"},
	{text: "create x hash:net netmask 5\n", want: "line 1"},
	{text: "create x hash:net hashsize 134217729\n", want: "line 1"},
	{text: "create x hash:net maxelem 0\nadd x 1.1.1.1\n", want: "line 2"},
	{text: "create x hash:net maxelem 2\nadd x 2.1.1.1\nadd x 1.1.1.1\nadd x 3.1.1.1\n", want: "line 4"},
	{text: "create x hash:ip maxelem 4 -exist\nadd x 1.1.1.0/30\nadd x 1.1.1.1\nadd x 1.1.1.2-1.1.1.4\n", want: "line 4"},
	{text: "create x hash:ip netmask 24 bitmask 255.0.0.0\n", want: "line 1"},
	{text: "create x hash:ip bitmask 255.0.0.0\nadd x 1.1.1.1\n", want: "x?its addresses are masked"},
	{text: "create x hash:ip netmask 32\nadd x 1.1.1.1\n", want: "x=1.1.1.1"},
	{text: "create x hash:ip timeout 0\nadd x 1.1.1.1 timeout 5\n", want: "x?its entries time out"},
	{text: "create x hash:ip\nadd x 1.1.1.1 timeout 5\n", want: "line 2"},
	{text: "create x hash:ip skbinfo\nadd x 1.1.1.1 skbmark 0x5/0xff skbprio 1:5 skbqueue 3\n", want: "x?skbinfo"},
	{text: "create x hash:what\n", want: "line 1"},
	{text: "create abcdefghijklmnopqrstuvwxyz012345 hash:net\n", want: "line 1"},

	// Whole sets.
	{text: "create x hash:net\nadd x 1.1.1.1\ncreate y hash:net\nadd y 2.2.2.2\nswap x y\nrename x z\n", want: "y=1.1.1.1 z=2.2.2.2"},
	{text: "create x hash:ip\ncreate y hash:net\nswap x y\n", want: "line 3"},
	{text: "create x hash:ip\ncreate y bitmap:ip range 1.1.1.1-1.1.1.5\nadd y 1.1.1.2\nswap x y\nadd y 1.1.1.9\n", want: "x?type bitmap:ip y=1.1.1.9"},
	{text: "create x hash:ip\nrename x x\n", want: "line 2"},
	{text: "create x hash:ip\nsave\nlist x\nlist y\n", want: "line 4"},
	{text: "create l list:set\ncreate y hash:ip\nadd l y\ndestroy y\n", want: "line 4"},
	{text: "create l list:set\ncreate y hash:ip\nadd l y\nrename y z\n", want: "line 4"},
	{text: "create l list:set\ncreate y hash:ip\nadd l y\nflush l\ndestroy\n", want: ""},
	{text: "create l list:set\ncreate m list:set\nadd l m\n", want: "line 3"},
	{text: "create l list:set\ncreate y hash:ip\nadd l y\nadd l y\n", want: "line 4"},
	{text: "create l list:set\ncreate y hash:ip\ndel l y\n", want: "line 3"},
	{text: "create l list:set\ncreate y hash:ip\nadd l y\ndel l y\nrename y z\n", want: "l?type list:set z="},
	{text: "create x hash:ip\ncreate x hash:ip -exist\ndestroy x\ncreate x hash:net -6\nadd x ::1\n", want: "line 5"}, // read as the old set's

	// What Parse refuses and ipset does not.
	{text: "create x hash:ip\nadd x 1.1.1.1\nquit\nfoo\n", want: "line 3", differs: "the add is lost"},
	{text: "create x hash:ip\nadd x 1.1.1.1\ntest x 1.1.1.1\nfoo\n", want: "line 3", differs: "the rest is lost"},
	{text: "create x hash:ip probes 4\nfoo\n", want: "line 1", differs: "the rest is lost"},
	{text: "create x hash:ip gc 4\nfoo\n", want: "line 1", differs: "the rest is lost"},
	{text: "create x hash:ip\n-\nfoo\n", want: "line 2", differs: "the rest is interactive"},
	{text: "create x hash:ip\nadd x localhost\n", want: "line 2", differs: "a name is looked up"},
	{text: "create x hash:ip\nadd x 1.1.1.1 -f /dev/null\n", want: "line 2", differs: "another file"},
}

func parse(text string) string {
	sets, err := ipset.Parse([]byte(text))
	var e *ipset.Error
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("line %d", e.Line)
	case err != nil:
		return err.Error()
	}
	return show(sets)
}

func TestParseKnownTexts(t *testing.T) {
	for _, k := range known {
		if got := parse(k.text); got != k.want {
			_, err := ipset.Parse([]byte(k.text))
			t.Errorf("%q:\n%s, not\n%s (%v)", k.text, got, k.want, err)
		}
	}
}

// Sets come back as they were written, whatever was there before.
func TestAppendIsReadAsItWasWritten(t *testing.T) {
	s := &ipset.Set{Name: "X-s4-x", Type: "hash:net", Family: packet.IPv4, Entries: []ipset.Entry{
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("10.8.0.0/16"), NoMatch: true}}}
	text := string(ipset.Append(nil, s, "X-NEW", "a policy"))
	const want = `# a policy
create X-s4-x hash:net family inet hashsize 1024 maxelem 65536 -exist
create X-NEW4-65536 hash:net family inet hashsize 1024 maxelem 65536 -exist
flush X-NEW4-65536
add X-NEW4-65536 10.0.0.0/8
add X-NEW4-65536 10.8.0.0/16 nomatch
swap X-NEW4-65536 X-s4-x
destroy X-NEW4-65536
`
	if text != want {
		t.Errorf("it writes\n%s", text)
	}
	if got := parse(text + text); got != "X-s4-x=!10.8.0.0/16,10.0.0.0/8" {
		t.Error(got)
	}
}

// The common line is read fast, and means what every other spelling of it means.
func TestFastLinesMeanTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 2000 {
		g := &generator{Rand: rng, others: others}
		text := g.text()
		slow := strings.ReplaceAll("\n"+text, "\nadd ", "\n-A  ")[1:]
		if a, b := parse(text), parse(slow); a != b {
			t.Fatalf("%q:\n%s\n%s", text, a, b)
		}
	}
}

// A model of a hash:ip with one bool an address.
func TestSpansHoldTheirAddresses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var text bytes.Buffer
		text.WriteString("create x hash:ip -exist\n")
		space := uint32(50) << rng.IntN(8)
		there := make([]bool, space)
		for range rng.IntN(2500) {
			lo := rng.Uint32N(space)
			hi := min(lo+rng.Uint32N(1<<rng.IntN(6)), space-1)
			add := rng.IntN(3) > 0
			fmt.Fprintf(&text, "%s x 10.0.%d.%d-10.0.%d.%d\n", map[bool]string{true: "add", false: "del"}[add], lo>>8, lo&255, hi>>8, hi&255)
			for i := lo; i <= hi; i++ {
				there[i] = add
			}
		}
		sets, err := ipset.Parse(text.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got := make([]bool, space)
		for _, e := range sets["x"].Entries {
			for a := e.Prefix.Addr(); e.Prefix.Contains(a); a = a.Next() {
				b := a.As4()
				i := uint32(b[2])<<8 | uint32(b[3])
				if got[i] {
					t.Fatalf("round %d: %s is there twice", round, a)
				}
				got[i] = true
			}
		}
		if !slices.Equal(got, there) {
			t.Fatalf("round %d: not the addresses that were added", round)
		}
	}
}

// Texts that ask for much are answered soon: about 2^32 addresses in no time.
func TestLargeRangesAreNotTakenApart(t *testing.T) {
	var text bytes.Buffer
	text.WriteString("create x hash:ip maxelem 4294967295 -exist\n")
	for i := range 100000 {
		fmt.Fprintf(&text, "add x 0.0.0.1-255.255.255.255\ndel x %d.%d.%d.0/30\n", i%200+1, i/200%250, i%250)
	}
	if _, err := ipset.Parse(text.Bytes()); err != nil {
		t.Error(err)
	}
	if got := parse("create x hash:net maxelem 4294967295\nadd x 0.0.0.1-255.255.255.255\n"); got != "line 2" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, k := range known {
		f.Add([]byte(k.text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzzing.Bound(t, len(src))
		sets, err := ipset.Parse(src)
		var e *ipset.Error
		if err != nil {
			if !errors.As(err, &e) || e.Line < 1 || e.Line > bytes.Count(src, []byte("\n"))+1 || e.Detail == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		for name, s := range sets {
			if name != s.Name || s.Unknown != "" && s.Entries != nil {
				t.Fatalf("%q: %+v", name, s)
			}
			for _, e := range s.Entries {
				if e.Prefix != e.Prefix.Masked() || e.Prefix.Bits() == 0 || e.Prefix.Addr().Is4() != (s.Family == packet.IPv4) {
					t.Fatalf("%q: %v", name, e)
				}
			}
			if s.Unknown != "" || s.Type != "hash:net" {
				continue
			}
			fresh := *s
			fresh.Name = "again"
			again, err := ipset.Parse(ipset.Append(nil, &fresh, "n", "c"))
			if err != nil || !slices.Equal(again["again"].Entries, s.Entries) {
				t.Fatalf("%v: %v", s, err)
			}
		}
	})
}

// benchmarkText is a million lines, of CIDRs in order or of addresses in the
// order of a hash, as ipset save prints them.
func benchmarkText(kind string, ordered bool) []byte {
	const n = 1 << 20
	text := fmt.Appendf(nil, "create x %s maxelem %d\n", kind, n)
	for i := range uint32(n) {
		if !ordered {
			i = i * 2654435761 % n
		}
		text = fmt.Appendf(text, "add x %d.%d.%d.", 10+i>>16, i>>8&255, i&255)
		if ordered {
			text = append(text, "0/24\n"...)
		} else {
			text = append(text, "7\n"...)
		}
	}
	return text
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name, kind string
		ordered    bool
	}{{"net-ordered", "hash:net", true}, {"net-hashed", "hash:net", false}, {"ip-hashed", "hash:ip", false}} {
		b.Run(c.name, func(b *testing.B) {
			text := benchmarkText(c.kind, c.ordered)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ipset.Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
