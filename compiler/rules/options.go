package rules

import "strings"

// owners are the matches that own an option by its name. A line may give an
// option after another -m, and iptables gives it to the match that knows it.
var owners = map[string]string{
	"--comment":   "comment",
	"--src-range": "iprange", "--dst-range": "iprange",
	"--limit": "limit", "--limit-burst": "limit",
	"--dports": "multiport", "--sports": "multiport", "--ports": "multiport",
	"--destination-ports": "multiport", "--source-ports": "multiport",
	"--state": "state", "--match-set": "set",
	"--mac-source": "mac", "--pkt-type": "pkttype", "--physdev-in": "physdev", "--physdev-out": "physdev",
}

// owner is the match that an option belongs to, or "" when only its place in
// the line says so.
func owner(option string) string {
	if strings.HasPrefix(option, "--ct") {
		return "conntrack"
	}
	return owners[option]
}

// aliases are the other spellings of options that iptables-save prints in one.
var aliases = map[string]string{
	"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d",
	"--in-interface": "-i", "--out-interface": "-o", "--protocol": "-p", "--proto": "-p",
	"--match": "-m", "--jump": "-j", "--goto": "-g", "--fragment": "-f",
	"--append": "-A", "--insert": "-I", "--policy": "-P", "--new-chain": "-N", "--new": "-N",
	"--delete": "-D", "--replace": "-R", "--flush": "-F", "--delete-chain": "-X",
	"--destination-port": "--dport", "--source-port": "--sport",
	"--destination-ports": "--dports", "--source-ports": "--sports",
}

// protocolNumbers are the protocols that iptables-save prints by name.
var protocolNumbers = map[string]string{
	"0": "all", "1": "icmp", "6": "tcp", "17": "udp", "33": "dccp", "50": "esp", "51": "ah",
	"58": "ipv6-icmp", "132": "sctp", "136": "udplite", "icmpv6": "ipv6-icmp", "ipv6-ah": "ah",
}

// implicit is the match that -p brings with it when an option of that protocol
// follows without a -m: "-p tcp --dport 80".
func implicit(protocol string) string {
	switch protocol {
	case "ipv6-icmp":
		return "icmp6"
	}
	return protocol
}

// ofProtocol are the options of the match that -p brings with it.
var ofProtocol = map[string]bool{
	"--dport": true, "--sport": true, "--tcp-flags": true, "--syn": true, "--tcp-option": true,
	"--icmp-type": true, "--icmpv6-type": true, "--chunk-types": true,
}

// withOptions are the matches that -p can bring with it.
var withOptions = []string{"tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmp6"}
