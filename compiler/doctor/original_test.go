package doctor

import (
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// A match on a packet's destination becomes a match on the original destination of its
// connection; nothing if conntrack cannot express it.
func TestAsOriginal(t *testing.T) {
	port := func(ports ...string) asked { return asked{ports: ports} }
	both := func(ports ...string) asked { return asked{address: true, ports: ports} }
	address := asked{address: true}
	for _, test := range []struct {
		rule string
		what asked
		want string // rules, joined with "; "
	}{
		{"-p tcp -m tcp --dport 8080 -j DROP", port("8080"), "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		{"-p tcp -m tcp --dport 8000:8100 -j DROP", port("8000:8100"), "-p tcp -m conntrack --ctorigdstport 8000:8100 --ctdir ORIGINAL -j DROP"},
		{"-i eth0 -p tcp -m multiport --dports 22,8080 -j DROP", port("8080"), "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		{"-p tcp -m multiport --dports 8080,9090 -j DROP", port("8080", "9090"), "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP; -p tcp -m conntrack --ctorigdstport 9090 --ctdir ORIGINAL -j DROP"},
		// Other matches of the rule stay, and so do existing conntrack options.
		{"! -s 10.0.0.0/8 -p tcp -m tcp --sport 1024:65535 --dport 8080 -m comment --comment \"a b\" -j REJECT --reject-with tcp-reset", port("8080"),
			"! -s 10.0.0.0/8 -p tcp -m tcp --sport 1024:65535 -m comment --comment \"a b\" -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j REJECT --reject-with tcp-reset"},
		{"-p tcp -m tcp --dport 8080 -m conntrack --ctstate NEW -j DROP", port("8080"), "-p tcp -m conntrack --ctstate NEW --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		{"-p tcp -m tcp --dport 8080 -m conntrack --ctdir ORIGINAL -j DROP", port("8080"), "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		// Addresses.
		{"-d 198.51.100.2/32 -i eth0 -j DROP", address, "-i eth0 -m conntrack --ctorigdst 198.51.100.2 --ctdir ORIGINAL -j DROP"},
		{"-d 198.51.100.0/24 -p tcp -m tcp --dport 80 -j DROP", address, "-p tcp -m tcp --dport 80 -m conntrack --ctorigdst 198.51.100.0/24 --ctdir ORIGINAL -j DROP"},
		{"-d 198.51.100.2/32 -p tcp -m tcp --dport 8080 -j DROP", both("8080"), "-p tcp -m conntrack --ctorigdst 198.51.100.2 --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		{"-d 198.51.100.2/32 -p tcp -m tcp --dport 8080 -j DROP", port("8080"), "-d 198.51.100.2/32 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		{"-p tcp -m tcp --dport 8080 -j DROP", both("8080"), "-p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"},
		// What cannot be expressed.
		{"-p tcp -m tcp --dport 8080 -m conntrack --ctdir REPLY -j DROP", port("8080"), ""},
		{"-p tcp -m multiport ! --dports 8080,9090 -j DROP", port("8080"), ""},
		{"! -d 198.51.100.2/32 -p tcp -m tcp --dport 8080 -j DROP", both("8080"), ""},
		{"-d 198.51.100.2/255.0.255.255 -p tcp -m tcp --dport 8080 -j DROP", both("8080"), ""},
		{"-p tcp -m addrtype --dst-type LOCAL -m tcp --dport 8080 -j DROP", both("8080"), ""},
		{"-p tcp -m iprange --dst-range 198.51.100.1-198.51.100.2 -m tcp --dport 8080 -j DROP", both("8080"), ""},
		{"-p tcp -m tcp --dport 8080", port("8080"), ""},
	} {
		f, err := iptables.Parse([]byte("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT "+test.rule+"\nCOMMIT\n"), iptables.Options{Family: packet.IPv4})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, words := range asOriginal(f.Table("filter").Chain("INPUT").Rules()[0], test.what) {
			got = append(got, iptables.Join(words))
		}
		if got := strings.Join(got, "; "); got != test.want {
			t.Errorf("%s, %+v:\n got %s\nwant %s", test.rule, test.what, got, test.want)
		}
	}
	// An IPv6 host also loses its prefix length.
	f, err := iptables.Parse([]byte("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -d 2001:db8::2/128 -j DROP\nCOMMIT\n"), iptables.Options{Family: packet.IPv6})
	if err != nil {
		t.Fatal(err)
	}
	want := "-m conntrack --ctorigdst 2001:db8::2 --ctdir ORIGINAL -j DROP"
	if got := asOriginal(f.Table("filter").Chain("INPUT").Rules()[0], address); len(got) != 1 || iptables.Join(got[0]) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
