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

// attackedTables is a host with Docker's nftables back end and one container, with other
// rules of prerouting, and a person's table that closes the container's port.
func attackedTables(ports, raw, more string) string {
	return fmt.Sprintf(`table ip docker-bridges {
	chain filter-FORWARD {
		type filter hook forward priority filter; policy accept;
		oifname "docker0" jump filter-forward-in__docker0
	}
	chain filter-forward-in__docker0 {
		ct state established,related accept
		ip daddr 172.17.0.2 tcp dport 80 accept
		drop
	}
	chain nat-PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter jump nat-prerouting-and-output
	}
	chain nat-prerouting-and-output {
		%s
	}
	chain raw-PREROUTING {
		type filter hook prerouting priority raw; policy accept;
		%s
	}
}
table ip mine {
	chain forward {
		type filter hook forward priority filter - 1; policy accept;
		ct state established,related accept
		iifname "eth0" oifname "docker0" tcp dport 80 ip saddr != 192.0.2.0/24 drop
	}
	%s
}
`, ports, raw, more)
}

const (
	publishesTable = `iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80 comment "DNAT"`
	dropsDirect    = `ip daddr 172.17.0.2 iifname != "docker0" counter drop`
)

// The same as for iptables: a translation that is not plainly Docker's is not taken for one.
func TestTablesNotProvedWrongly(t *testing.T) {
	if got := scopeOfTables(t, attackedTables(publishesTable, dropsDirect, "")); got == importer.NoScope {
		t.Fatal("Docker's own form is not proved")
	}
	prerouting := func(rules string) string {
		return "chain prerouting {\n type nat hook prerouting priority dstnat - 1; policy accept;\n" + rules + "\n}"
	}
	for name, x := range map[string][3]string{
		"a range of ports":      {`iifname != "docker0" tcp dport 8080-8090 dnat to 172.17.0.2:80`, "", ""},
		"a set of ports":        {`iifname != "docker0" tcp dport { 8080, 8081 } dnat to 172.17.0.2:80`, "", ""},
		"not a port":            {`iifname != "docker0" tcp dport != 8080 dnat to 172.17.0.2:80`, "", ""},
		"a network":             {`iifname != "docker0" ip daddr 198.51.100.0/24 tcp dport 8080 dnat to 172.17.0.2:80`, "", ""},
		"for one source":        {`iifname != "docker0" ip saddr 198.51.100.7 tcp dport 8080 dnat to 172.17.0.2:80`, "", ""},
		"by mark":               {`iifname != "docker0" meta mark 1 tcp dport 8080 dnat to 172.17.0.2:80`, "", ""},
		"at random":             {`iifname != "docker0" numgen random mod 2 0 tcp dport 8080 dnat to 172.17.0.2:80` + "\n" + publishesTable, "", ""},
		"a range of addresses":  {`iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2-172.17.0.3:80`, "", ""},
		"by a map":              {`iifname != "docker0" dnat to tcp dport map { 8080 : 172.17.0.2, 8081 : 172.17.0.2 }`, "", ""},
		"without a port":        {`iifname != "docker0" meta l4proto tcp dnat to 172.17.0.2`, "", ""},
		"one interface":         {`iifname "eth0" tcp dport 8080 dnat to 172.17.0.2:80`, "", ""},
		"redirect":              {publishesTable, "", prerouting("tcp dport 9000 redirect to :8080")},
		"another's before":      {publishesTable, "", prerouting("tcp dport 9000 dnat to 172.17.0.2:80")},
		"another's, in a chain": {publishesTable, "", prerouting("jump more\n}\nchain more {\ntcp dport 9000 dnat to 172.17.0.2:80")},
		"another's, by a map":   {publishesTable, "", prerouting("tcp dport vmap { 9000 : jump more }\n}\nchain more {\nmeta l4proto tcp dnat to 172.17.0.2:80")},
		"a header that is set":  {publishesTable, "ip daddr 203.0.113.1 ip daddr set 172.17.0.2", ""},
		"a port that is set":    {publishesTable, "tcp dport 9000 tcp dport set 80", ""},
		"only for some":         {"return", "", prerouting("ip saddr 10.0.0.0/8 jump more\n}\nchain more {\n" + publishesTable)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := scopeOfTables(t, attackedTables(x[0], x[1], x[2])); got != importer.NoScope {
				t.Errorf("proved in scope %d", got)
			}
		})
	}
	t.Run("only for some, in Docker's chain", func(t *testing.T) {
		text := strings.Replace(attackedTables(publishesTable, "", ""), "fib daddr type local counter jump", "ip saddr 10.0.0.0/8 jump", 1)
		if got := scopeOfTables(t, text); got != importer.NoScope {
			t.Errorf("proved in scope %d", got)
		}
	})
}

func scopeOfTables(t *testing.T, text string) importer.Scope {
	t.Helper()
	result, err := importer.Import(context.Background(), nftChains(t, "rules.nft", []byte(text)), []string{"eth0"}, prove.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return result.Scope()
}
