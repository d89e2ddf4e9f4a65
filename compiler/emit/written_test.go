package emit

import "testing"

// Lines of a block, one after the other: those that Seawall writes, and such as
// people type among them.
func TestWritten(t *testing.T) {
	for _, c := range []struct {
		name, line string
		before     string
		want       bool
	}{
		{name: "comment", line: "# anything", want: true},
		{name: "empty", line: "\r\n", want: true},
		{name: "declaration", line: ":SEAWALL-INPUT - [0:0]", want: true},
		{name: "declaration of others", line: ":MINE - [0:0]"},
		{name: "hook", line: ":FORWARD ACCEPT [0:0]", want: true},
		{name: "policy of a hook", line: ":FORWARD DROP [0:0]"},
		{name: "jump", line: "-A FORWARD -j DOCKER-USER\r", want: true},
		{name: "inserted jump", line: "-I INPUT -j SEAWALL-INPUT", want: true},
		{name: "jump of others", line: "-A FORWARD -j MINE"},
		{name: "other table", line: "*nat"},
		{name: "forward", line: "-A DOCKER-USER -s 10.0.0.0/8 -d 10.1.0.0/16 -i wg0 -o eth1 -m conntrack --ctdir ORIGINAL -j ACCEPT", want: true},
		{name: "ICMP", line: "-A DOCKER-USER -i eth0 -p ipv6-icmp -m conntrack --ctstate RELATED -j RETURN", want: true},
		{name: "policy", line: "-A DOCKER-USER ! -s 2001:db8::/32 -i eth+ -p tcp -m conntrack --ctorigdst 2001:db8::7 --ctorigdstport 80:90 --ctdir ORIGINAL -j REJECT --reject-with tcp-reset", want: true},
		{name: "set", line: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -m set ! --match-set SEAWALL-s4-abc src -j DROP", want: true},
		{name: "set of others", line: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -m set --match-set bans src -j DROP"},
		{name: "log", line: `-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -m limit --limit 1/sec -m comment --comment "a \" b" -j LOG --log-prefix "bad \"guy\" "`, want: true},
		{name: "search", line: "-A SEAWALL-Ft0-0050 -m conntrack --ctorigdstport 90:443 -g SEAWALL-Ft0-005a", want: true},
		{name: "tree", line: "-A SEAWALL-xabcde-0a -s 10.0.0.0/9 -j DROP", want: true},
		{name: "unlisted", line: "-A DOCKER-USER -i eth0 -j DROP", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN", want: true},
		{name: "unlisted, with a comment", line: "-A DOCKER-USER -i eth0 -p tcp -m comment --comment unlisted -j REJECT --reject-with tcp-reset", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN", want: true},
		{name: "all from an interface", line: "-A DOCKER-USER -i eth0 -j DROP"},
		{name: "all from another interface", line: "-A DOCKER-USER -i eth1 -j DROP", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "ban", line: "-A DOCKER-USER -s 203.0.113.9/32 -j DROP"},
		{name: "ban on an interface", line: "-A DOCKER-USER -s 203.0.113.9/32 -i eth0 -j DROP", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "other order", line: "-A DOCKER-USER -i eth0 -s 203.0.113.9/32 -m conntrack --ctdir ORIGINAL -j DROP"},
		{name: "port", line: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j DROP"},
		{name: "to the host", line: "-A SEAWALL-INPUT -s 203.0.113.9/32 -j DROP"},
		{name: "INPUT", line: "-A INPUT -s 203.0.113.9/32 -j DROP"},
		{name: "accepted first", line: "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", want: true},
		{name: "accepted later", line: "-A DOCKER-USER -m conntrack --ctstate ESTABLISHED -j ACCEPT", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "INVALID first", line: "-A DOCKER-USER -m conntrack --ctstate INVALID -j DROP", want: true},
		{name: "an interface left out by hand", line: "-A DOCKER-USER -i wg0 -j RETURN"},
		{name: "bridges", line: "-A DOCKER-USER -o br-+ -g SEAWALL-BRIDGES", before: "-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN", want: true},
		{name: "leaving by hand", line: "-A DOCKER-USER -o docker0 -j DROP"},
		{name: "every interface, where others are named", line: "-A DOCKER-USER -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j DROP"},
		{name: "counters", line: "[0:0] -A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "inserted rule", line: "-I DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "long option", line: "--append DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN"},
		{name: "no rule", line: "-F DOCKER-USER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w written
			w.line(c.before)
			if got := w.line(c.line); got != c.want {
				t.Errorf("%q: %v, want %v", c.line, got, c.want)
			}
		})
	}
}

// Where every interface is external, no rule names one, and one that is internal is left out.
func TestWrittenForEveryInterface(t *testing.T) {
	list := []string{"-A DOCKER-USER -i lo -j RETURN", "-A DOCKER-USER -s 10.0.0.0/8 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j RETURN",
		"-A DOCKER-USER -m conntrack --ctdir REPLY -j RETURN", "-A DOCKER-USER -j DROP"}
	w := writtenIn(list)
	for _, line := range list {
		if !w.line(line) {
			t.Errorf("%q is taken for somebody's", line)
		}
	}
	w = writtenIn(list)
	for _, line := range []string{"-A DOCKER-USER -j DROP", "-A DOCKER-USER -i wg0 -j RETURN", "-A DOCKER-USER -s 203.0.113.9/32 -j DROP"} {
		if w.line(line) {
			t.Errorf("%q is taken for Seawall's", line)
		}
	}
}
