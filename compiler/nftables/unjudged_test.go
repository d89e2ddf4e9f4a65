package nftables

import (
	"strings"
	"testing"
)

// A statement in another hook that makes another packet of one is not part of the answer,
// so it is named; one that changes what nobody asks for is not.
func TestUnjudgedAssignments(t *testing.T) {
	for statement, named := range map[string]bool{
		"ip saddr set 10.8.0.1":                           true,
		"ip6 saddr set 2001:db8::1":                       true,
		"tcp dport 9999 tcp dport set 8080":               true,
		"meta l4proto tcp @th,16,16 set 0x1f90":           true,
		"ct zone set 1":                                   true,
		"notrack":                                         true,
		"meta mark set 0x1":                               false,
		"ct mark set 0x1":                                 false,
		"ip dscp set cs1":                                 false,
		"tcp flags syn tcp option maxseg size set rt mtu": false,
		"counter":                                         false,
	} {
		file, err := Parse([]byte("table inet a {\n\tchain f {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\t"+statement+"\n\t}\n}\n"), Options{})
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if list := file.Unjudged(RuleOptions{}); (len(list) == 1) != named || named && !strings.HasPrefix(list[0], "line 4: ") {
			t.Errorf("%s: not judged are %q", statement, list)
		}
	}
}
