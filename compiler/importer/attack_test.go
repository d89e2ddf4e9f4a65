package importer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/importer"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// attacked is a host with one container on docker0, with other lines of nat, of DOCKER-USER
// and of FORWARD before the jump to it.
func attacked(nat, user, forward string) string {
	return fmt.Sprintf(`*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
%s
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
%s-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -d 172.18.0.2/32 ! -i br-a -o br-a -p tcp -m tcp --dport 80 -j ACCEPT
%s
COMMIT
`, nat, forward, user)
}

const (
	toDocker  = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
	publishes = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
	answers   = "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n"
	closes80  = answers + "-A DOCKER-USER ! -s 192.0.2.0/24 -i eth0 -p tcp -m tcp --dport 80 -j DROP"
)

// Each of these can make a translation that is not plainly Docker's, so a rule for the
// container's port must not be proved to be one for the published port.
func TestNotProvedWrongly(t *testing.T) {
	for name, lines := range map[string]string{
		"a range of ports":       toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080:8090 -j DNAT --to-destination 172.17.0.2:80",
		"several ports":          toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m multiport --dports 8080,8081 -j DNAT --to-destination 172.17.0.2:80",
		"a range of addresses":   toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2-172.17.0.3:80",
		"a range as destination": toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80-90",
		"REDIRECT":               toDocker + "\n" + publishes + "\n-A PREROUTING -p tcp -m tcp --dport 9000 -j REDIRECT --to-ports 8080",
		"another's DNAT before":  "-A PREROUTING -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80\n" + toDocker + "\n" + publishes,
		"another's DNAT after":   toDocker + "\n" + publishes + "\n-A PREROUTING -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80",
		"DNAT for one source":    toDocker + "\n-A DOCKER -s 198.51.100.0/24 ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
		"DNAT by mark":           toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -m mark --mark 0x1 -j DNAT --to-destination 172.17.0.2:80",
		"NETMAP":                 toDocker + "\n" + publishes + "\n-A PREROUTING -d 203.0.113.0/24 -j NETMAP --to 172.17.0.0/24",
		"DNAT at random":         toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.2:80\n" + publishes,
		"DNAT without a port":    toDocker + "\n-A DOCKER ! -i docker0 -p tcp -j DNAT --to-destination 172.17.0.2",
		"one port in two chains": "-A PREROUTING -j DOCKER-INGRESS\n" + toDocker + "\n" + publishes + "\n-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:80",
		"not a port":             toDocker + "\n-A DOCKER ! -i docker0 -p tcp -m tcp ! --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(lines, "DOCKER-INGRESS") {
				lines = ":DOCKER-INGRESS - [0:0]\n" + lines
			}
			src := []byte(attacked(lines, closes80, ""))
			f, err := iptables.Parse(src, iptables.Options{Family: packet.IPv4})
			if err != nil {
				t.Fatal(err)
			}
			c := importer.Chain{Family: packet.IPv4, Name: "v4", Table: f.Table("filter"), Nat: f.Table("nat"), Source: src}
			result, err := importer.Import(context.Background(), []importer.Chain{c}, []string{"eth0"}, prove.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if result.Scope() != importer.NoScope {
				t.Errorf("proved in scope %d\n%s", result.Scope(), result.Policy)
			}
		})
	}
}
