package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// insertion is a rule added to a healthy host, as the first or the last rule of a chain.
type insertion struct {
	table, chain string
	last         bool
	rule         string
}

// harmful are insertions into FORWARD and Docker's own chains. BRIDGE stands for the bridge of a
// network; insertions into chains that an engine does not have are skipped.
var harmful = []insertion{
	{"filter", "FORWARD", false, "-j DROP"},
	{"filter", "FORWARD", false, "-m conntrack --ctstate RELATED,ESTABLISHED -j DROP"},
	{"filter", "FORWARD", false, "-i eth0 -j DROP"},
	{"filter", "FORWARD", false, "-o eth0 -j REJECT --reject-with icmp-port-unreachable"},
	{"filter", "FORWARD", false, "-p tcp -j DROP"},
	{"filter", "DOCKER", false, "-j ACCEPT"},
	{"filter", "DOCKER", false, "-j DROP"},
	{"filter", "DOCKER", false, "-p tcp -j DROP"},
	{"filter", "DOCKER", false, "-o BRIDGE -j ACCEPT"},
	{"filter", "DOCKER", false, "-j RETURN"},
	{"filter", "DOCKER-FORWARD", false, "-j ACCEPT"},
	{"filter", "DOCKER-FORWARD", false, "-j DROP"},
	{"filter", "DOCKER-FORWARD", false, "-j RETURN"},
	{"filter", "DOCKER-FORWARD", false, "-o BRIDGE -j ACCEPT"},
	{"filter", "DOCKER-FORWARD", false, "-i eth0 -j DROP"},
	{"filter", "DOCKER-CT", false, "-j DROP"},
	{"filter", "DOCKER-CT", false, "-j ACCEPT"},
	{"filter", "DOCKER-CT", false, "-i eth0 -j ACCEPT"},
	{"filter", "DOCKER-BRIDGE", false, "-j DROP"},
	{"filter", "DOCKER-BRIDGE", false, "-j ACCEPT"},
	{"filter", "DOCKER-BRIDGE", false, "-o BRIDGE -j RETURN"},
	{"filter", "DOCKER-INTERNAL", false, "-j ACCEPT"},
	{"filter", "DOCKER-INTERNAL", false, "-j DROP"},
	{"filter", "DOCKER-ISOLATION-STAGE-1", false, "-j ACCEPT"},
	{"filter", "DOCKER-ISOLATION-STAGE-1", false, "-j DROP"},
	{"filter", "DOCKER-ISOLATION-STAGE-1", false, "-i BRIDGE -j RETURN"},
	{"filter", "DOCKER-ISOLATION-STAGE-2", false, "-j ACCEPT"},
	{"filter", "DOCKER-ISOLATION-STAGE-2", false, "-j DROP"},
	{"filter", "FORWARD", false, "-j ACCEPT"},
	{"filter", "FORWARD", false, "-i BRIDGE -j ACCEPT"},
	{"filter", "DOCKER", false, "-d 172.17.0.2/32 -o docker0 -p tcp -m tcp --dport 22 -j ACCEPT"},
	{"filter", "DOCKER-BRIDGE", false, "-j RETURN"},
	{"filter", "DOCKER-ISOLATION-STAGE-1", false, "-j RETURN"},
	{"filter", "DOCKER-ISOLATION-STAGE-2", false, "-j RETURN"},
	{"nat", "PREROUTING", false, "-j ACCEPT"},
	{"nat", "PREROUTING", false, "-i eth0 -p tcp -j REDIRECT"},
	{"nat", "PREROUTING", false, "-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 9"},
	{"nat", "PREROUTING", false, "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.9.9.9:80"},
	{"nat", "DOCKER", false, "-p tcp -j RETURN"},
	{"nat", "DOCKER", false, "-i eth0 -j ACCEPT"},
	{"nat", "POSTROUTING", false, "-j ACCEPT"},
	{"nat", "POSTROUTING", false, "-o eth0 -j RETURN"},
	{"raw", "PREROUTING", false, "-p tcp -m tcp --dport 8080 -j NOTRACK"},
	{"raw", "PREROUTING", false, "-p tcp -j CT --notrack"},
	{"raw", "PREROUTING", false, "-i eth0 -j DROP"},
	{"raw", "PREROUTING", false, "-i BRIDGE -j DROP"},
	{"raw", "PREROUTING", false, "-i BRIDGE -j CT --notrack"},
	{"mangle", "FORWARD", false, "-i BRIDGE -j DROP"},
	{"mangle", "FORWARD", false, "-o BRIDGE -j DROP"},
	{"mangle", "POSTROUTING", false, "-o eth0 -m state --state NEW -j DROP"},
	{"mangle", "FORWARD", false, "-i BRIDGE -m conntrack --ctstate ESTABLISHED -j DROP"},
	{"mangle", "PREROUTING", false, "-m state --state RELATED,ESTABLISHED -j DROP"},
	{"nat", "DOCKER", false, "-p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.9:80"},
	{"nat", "DOCKER", false, "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.9:80"},
	{"filter", "DOCKER-USER", false, "-j ACCEPT"},
	{"filter", "DOCKER-USER", false, "-m conntrack --ctstate NEW -j ACCEPT"},
	{"filter", "DOCKER-USER", false, "-i BRIDGE -j ACCEPT"},
	pastRaw,
}

// pastRaw is harmful if the engine closes containers' addresses in raw.
var pastRaw = insertion{"raw", "PREROUTING", false, "-j ACCEPT"}

// meantWell are insertions that other tools and careful users make.
var meantWell = []insertion{
	{"filter", "FORWARD", true, "-j REJECT --reject-with icmp-host-prohibited"},
	{"filter", "FORWARD", true, "-i wg0 -j ACCEPT"},
	{"filter", "FORWARD", false, "-i tailscale0 -j ACCEPT"},
	{"filter", "FORWARD", false, "-i virbr0 -o eth0 -j ACCEPT"},
	{"filter", "FORWARD", false, "-i BRIDGE -d 10.9.0.0/16 -j DROP"},
	{"filter", "FORWARD", false, "-i BRIDGE -o eth0 -j DROP"},
	{"filter", "DOCKER-USER", false, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"},
	{"filter", "DOCKER-USER", false, "-s 10.8.0.0/16 -j ACCEPT"},
	{"filter", "DOCKER-USER", false, "-i docker0 -o BRIDGE -j ACCEPT"},
	{"filter", "DOCKER-USER", false, "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j ACCEPT"},
	{"filter", "FORWARD", false, "-s 203.0.113.77/32 -j DROP"},
	{"filter", "FORWARD", false, "-m conntrack --ctstate INVALID -j DROP"},
	{"filter", "FORWARD", false, "-m limit --limit 5/min -j LOG --log-prefix \"fwd \""},
	{"filter", "FORWARD", false, "-o eth0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"},
	{"filter", "INPUT", true, "-j DROP"},
	{"nat", "POSTROUTING", true, "-s 10.8.0.0/24 -o eth0 -j MASQUERADE"},
	{"nat", "PREROUTING", true, "-d 198.51.100.9/32 -i eth0 -p tcp -m tcp --dport 25 -j DNAT --to-destination 10.8.0.7:25"},
	{"raw", "PREROUTING", true, "-s 203.0.113.77/32 -j DROP"},
	{"raw", "PREROUTING", false, "-i eth0 -p tcp -m tcp --dport 8080 -j DROP"},
	{"nat", "POSTROUTING", false, "-s 172.18.0.0/16 -d 10.0.0.0/8 -j ACCEPT"},
	{"nat", "POSTROUTING", false, "-s 10.8.0.0/24 -o eth0 -j MASQUERADE"},
}

var bridgesOf = map[string]string{
	"engine-20.10-two-networks.iptables-save": "br-shop", "engine-26.1-modes.iptables-save": "br-d60d76c984e3",
	"engine-28.5-modes.iptables-save": "br-d7b36bd48912", "engine-29-modes.iptables-save": "br-316049296d6e",
}

// into adds the rule to a saved host; false if it does not have the chain.
func (x insertion) into(text, bridge string) (string, bool) {
	if !strings.Contains(text, "*"+x.table+"\n") { // iptables-save only prints tables in use
		text += "*" + x.table + "\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"
		if x.table == "raw" {
			text = strings.Replace(text, "*raw\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n", "*raw\n:PREROUTING ACCEPT [0:0]\n", 1)
		}
	}
	head, rest, found := strings.Cut(text, "*"+x.table+"\n")
	inside, tail, _ := strings.Cut(rest, "COMMIT\n")
	if !found || !strings.Contains(inside, ":"+x.chain+" ") {
		return "", false
	}
	rule := "-A " + x.chain + " " + strings.ReplaceAll(x.rule, "BRIDGE", bridge) + "\n"
	at := strings.Index(inside, "-A "+x.chain+" ")
	if x.last {
		at = strings.LastIndex(inside, "-A "+x.chain+" ")
		if at >= 0 {
			at += strings.Index(inside[at:], "\n") + 1
		}
	}
	if at < 0 {
		at = len(inside)
	}
	return head + "*" + x.table + "\n" + inside[:at] + rule + inside[at:] + "COMMIT\n" + tail, true
}

// Each harmful insertion is found on each engine, and a printed fix repairs it; legitimate
// insertions are left alone.
func TestInsertions(t *testing.T) {
	for name, bridge := range bridgesOf {
		whole := capture(t, name)
		count, fixed := 0, 0
		for _, x := range harmful {
			text, has := x.into(whole, bridge)
			if !has || x == pastRaw && !strings.Contains(whole, "\n-A PREROUTING -d ") {
				continue
			}
			count++
			found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{})
			if len(found) == 0 {
				t.Errorf("%s: not found: -I %s %s", name, x.chain, x.rule)
				continue
			}
			var fix []string
			for _, f := range found {
				fix = append(fix, f.Fix...)
			}
			if len(fix) == 0 || slices.Contains(fix, restart) {
				t.Logf("%s: no commands: -I %s %s:\n%s", name, x.chain, x.rule, Text(found))
				continue
			}
			fixed++
			if after := Run(context.Background(), look(t, carryOut(text, fix), packet.IPv4), prove.Limits{}); len(after) > 0 {
				t.Errorf("%s: -I %s %s:\n%s\nthen:\n%s", name, x.chain, x.rule, Text(found), Text(after))
			}
		}
		for _, x := range meantWell {
			if text, has := x.into(whole, bridge); has {
				if found := Run(context.Background(), look(t, text, packet.IPv4), prove.Limits{}); len(found) > 0 {
					t.Errorf("%s: a false alarm about %s %s:\n%s", name, x.chain, x.rule, Text(found))
				}
			}
		}
		t.Logf("%s: %d insertions, %d fixed by the printed commands", name, count, fixed)
	}
}
