package restore

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// needIptables skips the test where iptables cannot be asked.
func needIptables(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, program := range []string{"iptables-nft-restore", "iptables-legacy-restore", "ip6tables-nft-restore", "ip6tables-legacy-restore"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("iptables is not installed: %v", err)
		}
	}
}

func texts(seed uint64, family, n int) []string {
	r := rand.New(rand.NewPCG(seed, uint64(family)))
	texts := make([]string, n)
	for i := range texts {
		texts[i] = Text(r, family)
	}
	return texts
}

// accepted returns for each text whether it was accepted, as + and -.
func accepted(t *testing.T, vs []Verdict, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, v := range vs {
		switch {
		case v.Crashed():
			b.WriteByte('!')
		case v.EndedEarly():
			b.WriteByte('0')
		case v.Accepted:
			b.WriteByte('+')
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

// TestVerdicts asks about texts whose verdicts are known from iptables'
// sources: nf_tables --test, legacy --test, nf_tables load, legacy load; + is
// accepted, - refused, ! crashed and 0 ended early.
func TestVerdicts(t *testing.T) {
	needIptables(t)
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "++++"},
		{"a rule", "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n", "++++"},
		{"no final newline", "*filter\nCOMMIT", "+-+-"},
		{"blank after COMMIT", "*filter\nCOMMIT \n", "----"},
		{"missing COMMIT", "*filter\n-A INPUT\n", "----"},
		{"line of blanks", "*filter\n \nCOMMIT\n", "----"},
		{"blank before a rule", "*filter\n -A INPUT\nCOMMIT\n", "++++"},
		{"word after the table", "*filter x\nCOMMIT\n", "++++"},
		{"rest of a line after NUL", "*filter\n-A INPUT\x00x\nCOMMIT\n", "++++"},
		{"missing chain", "*filter\n-A X\nCOMMIT\n", "+---"},
		{"missing target", "*filter\n-A INPUT -j X\nCOMMIT\n", "+---"},
		{"loop", "*filter\n:A -\n-A A -j A\n-A INPUT -j A\nCOMMIT\n", "++--"},
		{"loop nobody enters", "*filter\n:A -\n-A A -j A\nCOMMIT\n", "++++"},
		{"unknown option", "*filter\n-A INPUT --foo\nCOMMIT\n", "----"},
		{"twice", "*filter\n-A INPUT -s 10.0.0.1 -s 10.0.0.2\nCOMMIT\n", "----"},
		{"policy of a user chain", "*filter\n:A DROP\nCOMMIT\n", "+-+-"},
		{"chain declared twice", "*filter\n:A -\n:A -\nCOMMIT\n", "+-+-"},
		{"chain that starts with a dash", "*filter\n:-x -\nCOMMIT\n", "-+-+"},
		{"rename in the section", "*filter\n:A -\n-E A B\nCOMMIT\n", "++-+"},
		{"replace in the section", "*filter\n-A INPUT\n-R INPUT 1\nCOMMIT\n", "++!+"},
		{"not everything", "*filter\n-A INPUT ! -s 0/0\nCOMMIT\n", "++-+"},
		{"wrong protocol", "*filter\n-A INPUT -m tcp --dport 1\nCOMMIT\n", "-+--"},
		{"inverted protocol", "*filter\n-A INPUT ! -p tcp --dport 1\nCOMMIT\n", "+++-"},
		{"help", "*filter\n-h\ngarbage\n", "0000"},
		{"version", "*filter\n-V\ngarbage\n", "0000"},
		{"other family", "*filter\n-6 garbage\nCOMMIT\n", "++++"},
	} {
		one := []string{test.text}
		var got string
		for _, ask := range []func(string, int, bool, []string) ([]Verdict, error){Accepts, Loads} {
			for _, backend := range []string{"nft", "legacy"} {
				vs, err := ask(backend, 4, false, one)
				got += accepted(t, vs, err)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q: got %s, want %s", test.name, test.text, got, test.want)
		}
	}
}

// TestTexts checks that Text stays near the edge: neither side rare.
func TestTexts(t *testing.T) {
	needIptables(t)
	for _, family := range []int{4, 6} {
		for _, backend := range []string{"nft", "legacy"} {
			vs, err := Accepts(backend, family, family == 6, texts(1, family, 400))
			got := accepted(t, vs, err)
			if n := strings.Count(got, "+"); n < 120 || n > 280 {
				t.Errorf("%s, family %d: %d of 400 accepted, want between 120 and 280", backend, family, n)
			}
		}
	}
}

func TestTextIsDeterministic(t *testing.T) {
	a, b := texts(7, 4, 200), texts(7, 4, 200)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("text %d differs between two runs with one seed", i)
		}
	}
}

// TestOrder checks that many texts get their own verdicts, in order.
func TestOrder(t *testing.T) {
	needIptables(t)
	var ask []string
	want := strings.Repeat("+-", 50)
	for range 50 {
		ask = append(ask, "*nat\nCOMMIT\n", "*nat\nCOMMIT\nx\n")
	}
	vs, err := Accepts("legacy", 6, true, ask)
	if got := accepted(t, vs, err); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSave(t *testing.T) {
	needIptables(t)
	const text = "*filter\n:INPUT DROP [0:0]\n:A - [0:0]\n-A INPUT -p tcp --dport 80:90 -s 10.0.0.1/8 -g A\nCOMMIT\n"
	for _, backend := range []string{"nft", "legacy"} {
		got, err := Save(backend, 4, text, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{":INPUT DROP [0:0]", ":A - [0:0]", "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80:90 -g A"} {
			if !strings.Contains(got, line+"\n") {
				t.Errorf("%s: no line %q in\n%s", backend, line, got)
			}
		}
		if _, err := Save(backend, 4, "*filter\n-A X\nCOMMIT\n", ""); err == nil {
			t.Errorf("%s: Save of a text that does not load returned no error", backend)
		}
	}
}

func TestSaveWithSets(t *testing.T) {
	needIptables(t)
	if _, err := exec.LookPath("ipset"); err != nil {
		t.Skipf("ipset is not installed: %v", err)
	}
	const rule = "-A INPUT -m set --match-set s src -j DROP"
	got, err := Save("nft", 4, "*filter\n"+rule+"\nCOMMIT\n", "create s hash:net\nadd s 10.0.0.0/8\n")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, rule+"\n") {
		t.Errorf("no line %q in\n%s", rule, got)
	}
}

// TestIsolation checks that the process stays in its own network namespace.
func TestIsolation(t *testing.T) {
	needIptables(t)
	namespaces := func() (string, string) {
		process, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		thread, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return process, thread
	}
	process, thread := namespaces()
	if _, err := Loads("legacy", 4, false, texts(3, 4, 20)); err != nil {
		t.Fatal(err)
	}
	if p, th := namespaces(); p != process || th != thread {
		t.Errorf("the namespace changed from %s, %s to %s, %s", process, thread, p, th)
	}
}

func TestArguments(t *testing.T) {
	if _, err := Accepts("ebtables", 4, false, nil); err == nil {
		t.Error("an unknown back end is taken")
	}
	if _, err := Accepts("nft", 5, false, nil); err == nil {
		t.Error("an unknown family is taken")
	}
	if !(Verdict{Signal: syscall.SIGSEGV}).Crashed() {
		t.Error("a signal is no crash")
	}
}
