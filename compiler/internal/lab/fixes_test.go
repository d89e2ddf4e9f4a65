//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// broken is a host of a capture with rules of people in it. That of
// engine-20.10-two-networks publishes 8080 to port 80, 5353/udp to 53, and
// 198.51.100.2:5432 to 80; that of engine-29-published-8080 publishes 8080 to port 80.
type broken struct {
	capture              string // the first by default
	six                  bool   // IPv6 is looked at as well: no network has it, so docker-proxy serves it
	input6               string // rules of INPUT for IPv6
	user, input, forward string // rules of DOCKER-USER before its RETURN, of INPUT, and of FORWARD before the jump
	after                string // rules of DOCKER-USER after its RETURN
	chains               string // names of chains that people made
	jump                 string // the jump of FORWARD to DOCKER-USER, where it has other words
	codes                string // what doctor finds
	left                 string // what it finds after the commands: findings without a command
	change               string // what the commands change, by hand: effects and ports
}

// A fix of SD008 and SD009 opens, one of SD004, SD006 and SD007 closes, and those of
// SD003 and of rules that are never met change nothing or close; one of SD015 closes what
// the rule opened, between networks and to ports that are not published. Expectations
// are written by hand.
var brokenHosts = []broken{
	// SD006: INPUT and a published port.
	{input: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT ! -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 8080 -j REJECT --reject-with tcp-reset\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT -i eth0 -p udp -m udp --dport 5353 -j DROP\n", codes: "SD006", change: "closed 5353/udp"},
	{input: "-A INPUT -i eth0 -p tcp -m multiport --dports 22,5432,8080 -m comment --comment \"$(touch /tmp/x) 'y'\" -j DROP\n", codes: "SD006", change: "closed 5432/tcp 8080/tcp"},
	{input: "-A INPUT -s 10.1.1.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD006", left: "SD006"},
	{input: "-A INPUT -i eth0 -p tcp -m multiport --dports 8080,5432 -j DROP\n", codes: "SD006", change: "closed 5432/tcp 8080/tcp"},
	{input: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", user: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN\n", codes: "SD006", change: "closed 8080/tcp"},
	{input: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", user: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"},
	// SD007: a port or an address that packets no longer have.
	{user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8080,3000 -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport --dports 8000,8080 -m comment --comment \"`id`; it's\" -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m multiport ! --dports 443,8080 -j DROP\n", codes: "SD008", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m tcp --dport 8000:8100 -j DROP\n", codes: "SD007", change: "closed 8000-8100/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p udp -m udp --dport 5353 -m conntrack --ctstate NEW -j REJECT --reject-with icmp-port-unreachable\n", codes: "SD007", change: "closed 5353/udp"},
	{user: "-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j DROP\n", codes: "SD007", change: "closed tcp"},
	{user: "-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m tcp --dport 5432 -j DROP\n", codes: "SD007", change: "closed 5432/tcp"},
	{user: "-A DOCKER-USER -d 10.0.0.0/8 -p tcp -m tcp --dport 8080 -j DROP\n"},
	// Some are let in and the rest is dropped, and neither rule matches: what lets in
	// comes first. Where that cannot be proved, neither is printed.
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j RETURN\n-A DOCKER-USER -s 10.0.0.2/32 -i eth0 -p tcp -m multiport --dports 8080,9000 -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007 SD007", change: "closed 8080/tcp"},
	{capture: modern, user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.0/24 -d 198.51.100.2/32 -i eth0 -p tcp -m tcp --dport 5432 -j ACCEPT\n-A DOCKER-USER -d 198.51.100.2/32 -i eth0 -p tcp -m tcp --dport 5432 -j DROP\n", codes: "SD007 SD007", change: "closed 5432/tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD007", change: "opened 8080/tcp"},
	{chains: "OFFICE", user: "-A OFFICE -j RETURN\n-A DOCKER-USER -s 10.0.0.0/24 -p tcp -m tcp --dport 8080 -g OFFICE\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007", change: "closed 8080/tcp"},
	{chains: "OFFICE", user: "-A OFFICE -s 10.0.0.1/32 -j ACCEPT\n-A DOCKER-USER -p tcp -m tcp --dport 8080 -j OFFICE\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007", left: "SD007 SD007"},
	{user: "-A DOCKER-USER -p tcp -m set --match-set bad src -m tcp --dport 8080 -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD007", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp ! --dport 80 -j RETURN\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007", left: "SD007"},
	{input: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n", codes: "SD007 SD006", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n"},
	{user: "-A DOCKER-USER -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 80 -j DROP\n", codes: "SD007", change: "opened 8080/tcp"},
	// SD007 in chains that DOCKER-USER calls.
	{chains: "WEB", user: "-A WEB -s 10.0.0.1/32 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A WEB -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -j WEB\n", codes: "SD007 SD007", change: "closed 8080/tcp"},
	{chains: "WEB", user: "-A WEB -s 10.0.0.1/32 -j RETURN\n-A WEB -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j WEB\n", codes: "SD007", change: "closed 8080/tcp"},
	{chains: "WEB", user: "-A WEB -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j WEB\n", codes: "SD007", change: "closed 8080/tcp"},
	{chains: "WEB", user: "-A WEB -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER -j WEB\n-A INPUT -j WEB\n", codes: "SD007", left: "SD007"},
	{chains: "f2b-web", user: "-A f2b-web -s 10.0.0.1/32 -j REJECT --reject-with icmp-port-unreachable\n-A f2b-web -j RETURN\n-A DOCKER-USER -p tcp -m multiport --dports 8080,443 -j f2b-web\n", codes: "SD007", left: "SD007"},
	{chains: "f2b-web", user: "-A f2b-web -j RETURN\n-A DOCKER-USER -p tcp -m multiport --dports 8080,443 -j f2b-web\n"},
	{chains: "f2b-web", user: "-A f2b-web -s 10.0.0.1/32 -j REJECT --reject-with icmp-port-unreachable\n-A f2b-web -j RETURN\n-A DOCKER-USER -p tcp -j f2b-web\n"},
	// SD008: answers are cut; what is meant is left alone.
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n", codes: "SD008", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP\n", codes: "SD008", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 ! -s 192.0.2.0/24 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -p tcp -m comment --comment \"a 'b' $c\" -j REJECT --reject-with tcp-reset\n", codes: "SD008", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.0/24 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 172.16.0.0/12 -j REJECT --reject-with icmp-port-unreachable\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p udp -m comment --comment \"the `lan`\" -j DROP\n", codes: "SD008", change: "opened udp"},
	{user: "-A DOCKER-USER -i eth0 -m iprange --src-range 10.0.0.5-10.0.9.255 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.1.0.0/16 -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n-A DOCKER-USER -s 192.168.0.0/16 -i eth0 -j DROP\n", codes: "SD008 SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -o eth0 -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -j RETURN\n-A DOCKER-USER -j DROP\n", codes: "SD008", change: "opened every port"},
	{user: "-A DOCKER-USER -d 203.0.113.0/24 -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.1.2.3/32 -j DROP\n"},
	{user: "-A DOCKER-USER -m set --match-set bad src -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -m conntrack --ctstate NEW -j DROP\n"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"},
	{user: "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n"},
	{user: "-A DOCKER-USER -d 10.0.0.0/8 -j DROP\n-A DOCKER-USER -s 10.0.0.0/8 -j DROP\n"},
	{user: "-A DOCKER-USER -d 172.17.0.0/16 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"},
	{user: "-A DOCKER-USER -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -i eth0 -j DROP\n"},
	{user: "-A DOCKER-USER -m set --match-set bad dst -j DROP\n"},
	// SD008 in chains that DOCKER-USER calls.
	{chains: "WEB", user: "-A WEB ! -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -j WEB\n", codes: "SD008", change: "opened every port"},
	{chains: "WEB", user: "-A WEB -s 10.0.0.1/32 -j RETURN\n-A WEB -j DROP\n-A DOCKER-USER -j WEB\n", codes: "SD008", change: "opened every port"},
	{chains: "A B", user: "-A B ! -s 10.0.0.0/8 -p tcp -j DROP\n-A A -j B\n-A DOCKER-USER -i eth0 -j A\n", codes: "SD008", change: "opened tcp"},
	{chains: "WEB", user: "-A WEB ! -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j WEB\n"},
	{chains: "WEB", user: "-A WEB ! -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -i eth0 -m conntrack --ctstate NEW -j WEB\n"},
	{chains: "OUT", user: "-A OUT -d 203.0.113.0/24 -j RETURN\n-A OUT -j DROP\n-A DOCKER-USER -i docker0 -j OUT\n"},
	{chains: "LAN", user: "-A LAN -m limit --limit 3/min -j LOG --log-prefix \"x \"\n-A LAN -j DROP\n-A DOCKER-USER -d 172.17.0.0/16 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j LAN\n"},
	// SD010 in one.
	{chains: "WEB", user: "-A WEB -j RETURN\n-A WEB -s 10.0.0.0/8 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER -j WEB\n", codes: "SD010", change: "closed every port"},
	// SD009: all but one, and all but another.
	{user: "-A DOCKER-USER ! -s 10.0.0.1/32 -j DROP\n-A DOCKER-USER ! -s 10.0.0.2/32 -j DROP\n", codes: "SD009", change: "opened every port"},
	{user: "-A DOCKER-USER ! -s 10.0.0.1/32 -i eth0 -p tcp -j DROP\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -j DROP\n", codes: "SD009", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 10.0.0.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER ! -s 10.0.0.2/32 -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD009 SD007", change: "closed 8080/tcp, opened tcp"},
	{chains: "WEB", user: "-A WEB ! -s 10.0.0.1/32 -j DROP\n-A WEB ! -s 10.0.0.2/32 -j DROP\n-A DOCKER-USER -j WEB\n", codes: "SD009", change: "opened every port"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened 8080/tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 10.0.0.0/8 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened every port"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n", codes: "SD009", change: "opened tcp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -m comment --comment \"x y\" -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -m comment --comment \"x y\" -j DROP\n", codes: "SD009", change: "opened 5353/udp"},
	{user: "-A DOCKER-USER ! -s 192.0.2.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n-A DOCKER-USER ! -s 192.0.2.2/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD009", change: "opened 8080/tcp"},
	// SD010: never met. Several keep their order; what would deny everything is not moved.
	{after: "-A DOCKER-USER -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j DROP\n", codes: "SD010", change: "closed 5353/udp"},
	{after: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n-A DOCKER-USER -s 11.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -j DROP\n", codes: "SD010 SD010", change: "closed 8000/tcp 8080/tcp"},
	{after: "-A DOCKER-USER -s 10.1.2.3/32 -i eth0 -j RETURN\n-A DOCKER-USER -j DROP\n", codes: "SD010 SD010", left: "SD010"},
	{after: "-A DOCKER-USER -j RETURN\n", codes: "SD010"},
	{after: "-A DOCKER-USER -s 10.1.2.3/32 -i eth0 -m conntrack --ctdir ORIGINAL -m comment --comment \"a'; reboot\" -j DROP\n", codes: "SD010", change: "closed every port"},
	// SD003 and SD004: the jump.
	{forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{forward: "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{user: "-A DOCKER-USER -j LOG\n", forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n", forward: "-A FORWARD -j DOCKER-USER\n", codes: "SD003 SD008", change: "opened every port"},
	{forward: "-A FORWARD -j DOCKER-USER\n-A FORWARD -o lo -j DROP\n", codes: "SD003"},
	{user: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n", codes: "SD004 SD015", change: "closed tcp"},
	{user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j REJECT --reject-with icmp-port-unreachable\n", forward: "-A FORWARD -m comment --comment \"mine: $(x)\" -j ACCEPT\n", codes: "SD004 SD015", change: "closed 5353/udp every port tcp udp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -i eth0 -j ACCEPT\n", codes: "SD004", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -s 10.0.0.0/8 -j ACCEPT\n", codes: "SD004", change: "closed 8080/tcp"},
	{user: "-A DOCKER-USER -i eth0 -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -p tcp -j ACCEPT\n", forward: "-A FORWARD -s 6.6.6.6/32 -j DROP\n-A FORWARD -p udp -j ACCEPT\n", codes: "SD004", left: "SD004"},
	{forward: "-A FORWARD -i virbr0 -j ACCEPT\n-A FORWARD -o virbr0 -j ACCEPT\n"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -i virbr0 -j ACCEPT\n-A FORWARD -o docker0 -j ACCEPT\n", codes: "SD004 SD015", change: "closed 8080/tcp every port tcp udp"},
	// SD004 and SD007 where Docker has its DOCKER-FORWARD (28 and later), also when that
	// came before the jump, as a reload of firewalld leaves it.
	{capture: modern, user: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n", codes: "SD004", change: "closed tcp"},
	{capture: modern, user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -i eth0 -j ACCEPT\n", codes: "SD004 SD015", change: "closed 0-8079/tcp 8080/tcp 8081-65535/tcp tcp udp"},
	{capture: modern, user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j REJECT --reject-with tcp-reset\n", forward: "-A FORWARD -j DOCKER-FORWARD\n", codes: "SD004", change: "closed 8080/tcp"},
	{capture: modern, user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007", change: "closed 8080/tcp"},
	{capture: modern, user: "-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n", codes: "SD008", change: "opened every port tcp udp"},
	{capture: modern, user: "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n-A DOCKER-USER -s 10.0.0.0/8 -i eth0 -j DROP\n"},
	// The jump that came late goes. Where DOCKER-USER says nothing, the commands change
	// nothing.
	{capture: modern, forward: "-A FORWARD -j DOCKER-FORWARD\n", codes: "SD004"},
	{capture: modern, user: "-A DOCKER-USER -j RETURN\n", forward: "-A FORWARD -j DOCKER-FORWARD\n", codes: "SD004"},
	{capture: modern, user: "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n", forward: "-A FORWARD -j DOCKER-FORWARD\n-A FORWARD -s 10.0.0.0/8 -j DROP\n", codes: "SD004"},
	{capture: modern, user: "-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", forward: "-A FORWARD -j DOCKER-FORWARD\n-A FORWARD -j DOCKER-USER\n", codes: "SD003 SD004", change: "closed every port tcp"},
	{user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", jump: "-A FORWARD -m comment --comment \"it's $(mine)\" -j DOCKER-USER\n", forward: "-A FORWARD -i eth0 -j ACCEPT\n", codes: "SD002 SD003", change: "closed 8080/tcp"},
	{capture: modern, jump: "-A FORWARD -i eth0 -j DOCKER-USER\n", forward: "-A FORWARD -j DOCKER-FORWARD\n", codes: "SD002 SD003"},
	// SD005: closed over DNAT, and open over docker-proxy.
	{six: true, user: "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD005", change: "IPv6: closed 8080/tcp"},
	{six: true, user: "-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -p udp -m conntrack --ctorigdstport 5353 --ctdir ORIGINAL -j REJECT --reject-with icmp-port-unreachable\n"},
	{six: true, user: "-A DOCKER-USER -s 192.0.2.0/24 -i eth0 -j RETURN\n-A DOCKER-USER -i eth0 -m conntrack --ctdir ORIGINAL -j DROP\n", codes: "SD005 SD005", change: "IPv6: closed 5353/udp 8080/tcp"},
	{six: true, input6: "-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n", user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD005", change: "IPv6: closed 8080/tcp"},
	{six: true, capture: modern, user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", codes: "SD005", change: "IPv6: closed 8080/tcp"},
	{six: true, user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", codes: "SD007 SD005", change: "closed 8080/tcp, IPv6: closed 8080/tcp"},
	{six: true, input6: "-A INPUT -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"},
	{six: true, input6: "-A INPUT -s 2001:db8::/32 -i eth0 -p tcp -m tcp --dport 8080 -j ACCEPT\n-A INPUT -i eth0 -j DROP\n", user: "-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n"},
	// Several, in the order in which they are printed.
	{user: "-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n-A DOCKER-USER ! -s 192.0.2.0/24 -p udp -j DROP\n", input: "-A INPUT -i eth0 -p udp -m udp --dport 5353 -j DROP\n", after: "-A DOCKER-USER -s 11.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 8000 --ctdir ORIGINAL -j DROP\n",
		codes: "SD007 SD008 SD010 SD006", change: "closed 5353/udp 8000/tcp 8080/tcp, opened udp"},
}

// modern is the capture of an engine with a DOCKER-FORWARD of its own.
const modern = "engine-29-published-8080"

// Each command that doctor prints is run in a namespace. The rules then mean what the
// finding says and nothing else, and doctor is silent.
func TestFixes(t *testing.T) {
	t.Parallel()
	Need(t)
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			t.Parallel()
			n := NewNamespace(t, "fixes")
			n.Must("ipset", "create", "bad", "hash:ip")
			bin := t.TempDir()
			for _, f := range packet.Families {
				path, err := n.Run(nil, "sh", "-c", "command -v "+b.Command(f, ""))
				if err != nil {
					t.Fatal(err)
				}
				name := strings.Replace(b.Command(f, ""), "-"+string(b), "", 1)
				script := "#!/bin/sh\nexec " + strings.TrimSpace(path) + " \"$@\"\n"
				if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for i, x := range brokenHosts {
				wrong := fixed(t, n, b, bin, x)
				if wrong != "" {
					t.Errorf("%d: %+v\n%s", i, x, wrong)
				}
				results.add("fixes, "+string(b), 1, map[bool]int{true: 1}[wrong != ""])
			}
		})
	}
}

// The command of SD014 switches forwarding on: the setting belongs to the network
// namespace, and the machine's own stays as it is.
func TestForwardingFix(t *testing.T) {
	t.Parallel()
	Need(t, "sysctl")
	const file = "/proc/sys/net/ipv4/ip_forward"
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := NewNamespace(t, "forwarding")
	n.Sysctl("net.ipv4.ip_forward=0")
	f, err := iptables.Parse([]byte(broken{}.host(t, packet.IPv4)), iptables.Options{Family: packet.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	found := func() []doctor.Finding {
		on := strings.TrimSpace(n.Must("cat", file)) == "1"
		h := &doctor.Host{Families: []docker.Tables{docker.TablesOf(f)}, Interfaces: []string{"eth0"},
			Facts: doctor.Facts{Live: true, Forwarding: map[int]bool{4: on}}}
		return doctor.Run(context.Background(), h, prove.Limits{})
	}
	before := found()
	if len(before) != 1 || before[0].Code != "SD014" || len(before[0].Fix) != 1 {
		t.Fatalf("without forwarding:\n%s", doctor.Text(before))
	}
	n.Must("sh", "-e", "-c", before[0].Fix[0])
	if after := found(); len(after) > 0 {
		t.Errorf("after the fix:\n%s", doctor.Text(after))
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(own) {
		t.Errorf("the machine's own setting was %q, and is %q (%v)", own, now, err)
	}
}

// host builds the rules of a broken host, of one family.
func (x broken) host(t *testing.T, f packet.Family) string {
	t.Helper()
	name := x.capture
	if name == "" {
		name = "engine-20.10-two-networks"
	}
	suffix := map[packet.Family]string{packet.IPv4: ".iptables-save", packet.IPv6: ".ip6tables-save"}[f]
	src, err := os.ReadFile("../../../testdata/captures/" + name + suffix)
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	if f == packet.IPv6 {
		return strings.Replace(text, "COMMIT\n", x.input6+"COMMIT\n", 1) // its filter table is the first
	}
	if end := "-A DOCKER-USER -j RETURN\n"; strings.Contains(text, end) {
		text = strings.Replace(text, end, x.user+end+x.after, 1)
	} else {
		text = strings.Replace(text, "-A FORWARD -j DOCKER-FORWARD\n", "-A FORWARD -j DOCKER-FORWARD\n"+x.user, 1)
	}
	if strings.Contains(x.forward, "-j DOCKER-FORWARD") {
		text = strings.Replace(text, "-A FORWARD -j DOCKER-FORWARD\n", "", 1)
	}
	for _, c := range strings.Fields(x.chains) {
		text = strings.Replace(text, ":DOCKER-USER - [0:0]\n", ":DOCKER-USER - [0:0]\n:"+c+" - [0:0]\n", 1)
	}
	jump := "-A FORWARD -j DOCKER-USER\n"
	own := jump
	if x.jump != "" {
		own = x.jump
	}
	return strings.Replace(text, jump, x.input+x.forward+own, 1)
}

// families are those that are looked at.
func (x broken) families() []packet.Family {
	if x.six {
		return packet.Families[:]
	}
	return []packet.Family{packet.IPv4}
}

// fixed loads a host, runs what doctor prints, and says what is wrong then.
func fixed(t *testing.T, n *Namespace, b Backend, bin string, x broken) string {
	t.Helper()
	for _, f := range x.families() {
		if said, err := n.Run(strings.NewReader(x.host(t, f)), b.Command(f, "-restore")); err != nil {
			return said
		}
	}
	read := func() ([]*iptables.File, []doctor.Finding) {
		var files []*iptables.File
		h := &doctor.Host{Interfaces: []string{"eth0"}}
		for _, family := range x.families() {
			f, err := iptables.Parse([]byte(n.Must(b.Command(family, "-save"))), iptables.Options{Family: family})
			if err != nil {
				t.Fatal(err)
			}
			files, h.Families = append(files, f), append(h.Families, docker.TablesOf(f))
		}
		return files, doctor.Run(context.Background(), h, prove.Limits{})
	}
	before, found := read()
	var codes, commands, left []string
	for _, f := range found {
		codes = append(codes, f.Code)
		commands = append(commands, f.Fix...)
	}
	if got := strings.Join(codes, " "); got != x.codes {
		return fmt.Sprintf("found %q\n%s", got, doctor.Text(found))
	}
	c := n.Command("sh", "-e", "-c", strings.Join(commands, "\n"))
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if said, err := c.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v: %s\n%s", err, said, doctor.Text(found))
	}
	after, again := read()
	for _, f := range again {
		left = append(left, f.Code)
	}
	if got := strings.Join(left, " "); got != x.left {
		return fmt.Sprintf("then finds %q\n%s\nthen\n%s", got, doctor.Text(found), doctor.Text(again))
	}
	if got := meaningChanged(t, before, after); got != x.change {
		return fmt.Sprintf("changes %q\n%s", got, doctor.Text(found))
	}
	return ""
}

// meaningChanged is what changed in the filter tables: effects, and ports or
// protocols.
func meaningChanged(t *testing.T, before, after []*iptables.File) string {
	t.Helper()
	var text []string
	for i := range before {
		if changed := filterChanged(t, before[i], after[i]); changed != "" {
			text = append(text, map[packet.Family]string{packet.IPv6: "IPv6: "}[before[i].Family]+changed)
		}
	}
	return strings.Join(text, ", ")
}

func filterChanged(t *testing.T, before, after *iptables.File) string {
	t.Helper()
	list, err := prove.Changes(context.Background(), prove.Side{Rules: before.Table("filter"), Whole: true}, prove.Side{Rules: after.Table("filter"), Whole: true}, before.Family, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	effects := map[string][]string{}
	for _, c := range list {
		if c.Old.IsOpen() == c.New.IsOpen() {
			continue // accepted, or denied, by another rule
		}
		ports := c.Ports
		if len(ports) == 0 {
			ports = []string{"every port"}
			if f := fmt.Sprint(c.Fields); strings.Contains(f, "rotocol") {
				ports = []string{c.Example.Protocol.String()}
			}
		}
		effects[string(c.Effect)] = append(effects[string(c.Effect)], ports...)
	}
	var text []string
	for _, e := range []string{"closed", "opened", "other"} {
		if p := effects[e]; p != nil {
			slices.Sort(p)
			text = append(text, e+" "+strings.Join(slices.Compact(p), " "))
		}
	}
	return strings.Join(text, ", ")
}
