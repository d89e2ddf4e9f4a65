package doctor

import (
	"context"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Other software with rules on the host, as it makes them: fail2ban's iptables-allports,
// CrowdSec's bouncer, ufw-docker, whalewall as iptables lists it, and Tailscale.
func TestNeighbours(t *testing.T) {
	const (
		f2b       = "-A f2b-web -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable\n-A f2b-web -j RETURN\n"
		shared    = "-A DOCKER-USER -j SEAWALL-FORWARD\n-A SEAWALL-FORWARD -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"
		tailscale = "-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000\n-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT\n-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP\n-A ts-forward -o tailscale0 -j ACCEPT\n"
	)
	healthy := capture(t, "engine-29-published-8080.iptables-save")
	for _, x := range []struct {
		chains, before, rules, want string
	}{
		{"f2b-web", "", "-A DOCKER-USER -p tcp -j f2b-web\n" + f2b,
			"fail2ban bans in DOCKER-USER (f2b-web). Loading a policy removes its bans, and it does not make its jump again, unless its host block has docker_user = \"shared\"."},
		{"f2b-web SEAWALL-FORWARD", "", "-A DOCKER-USER -p tcp -j f2b-web\n" + shared + f2b,
			"fail2ban bans in DOCKER-USER (f2b-web). The policy shares the chain, so loading it leaves its bans alone."},
		{"f2b-sshd f2b-web", "", "-A INPUT -p tcp -j f2b-web\n-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n" + f2b, "fail2ban bans in INPUT only (f2b-web, f2b-sshd): whom it bans still reaches published ports"},
		{"", "", "-A DOCKER-USER -m set --match-set crowdsec-blacklists-0 src -j DROP\n", "CrowdSec's bouncer blocks in DOCKER-USER. Loading a policy removes its rules,"},
		{"CROWDSEC_CHAIN SEAWALL-FORWARD", "", "-A DOCKER-USER -j CROWDSEC_CHAIN\n-A CROWDSEC_CHAIN -m set --match-set crowdsec-blacklists-0 src -j DROP\n" + shared,
			"CrowdSec's bouncer blocks in DOCKER-USER. The policy shares the chain"},
		{"ufw-user-forward", "", "-A DOCKER-USER -j ufw-user-forward\n", "ufw-docker's rules are in DOCKER-USER."},
		{"whalewall", "", "-A DOCKER-USER -j whalewall\n", "whalewall keeps its rules in DOCKER-USER. Loading a policy removes them,"},
		{"ts-forward", "-A FORWARD -j ts-forward\n", tailscale, "Tailscale's chain ts-forward comes before DOCKER-USER"},
		{"ts-forward", "", "-A FORWARD -j ts-forward\n" + tailscale, ""},
		{"", "", "", ""},
	} {
		text := strings.Replace(healthy, "-A FORWARD -j DOCKER-USER\n", x.before+"-A FORWARD -j DOCKER-USER\n"+x.rules, 1)
		for _, name := range strings.Fields(x.chains) {
			text = strings.Replace(text, ":DOCKER-USER", ":"+name+" - [0:0]\n:DOCKER-USER", 1)
		}
		host := look(t, text, packet.IPv4)
		notes := strings.Join(Notes(context.Background(), host, prove.Limits{}), "\n")
		if beside := NotesBeside(context.Background(), host, prove.Limits{}); x.want != "" && !strings.Contains(strings.Join(beside, "\n"), x.want) {
			t.Errorf("%s%s\nbeside findings the notes are %q", x.before, x.rules, beside)
		}
		if !strings.Contains(notes, x.want) {
			t.Errorf("%s%s\nwant %q, the notes are\n%s", x.before, x.rules, x.want, notes)
		}
		for _, name := range []string{"fail2ban", "CrowdSec", "ufw-docker", "whalewall", "Tailscale"} {
			if strings.Contains(notes, name) != strings.HasPrefix(x.want, name) {
				t.Errorf("%s%s\nabout %s the notes are\n%s", x.before, x.rules, name, notes)
			}
		}
	}
}
