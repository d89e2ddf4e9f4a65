package iptables

import (
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// The chains that Seawall fills. Docker makes DOCKER-USER and jumps to it
// first in FORWARD; Seawall's own are called from INPUT, where
// docker-proxy gets its connections (NETFILTER.md section 2).
const (
	DockerUser   = "DOCKER-USER"
	SeawallInput = "SEAWALL-INPUT"
	SeawallHost  = "SEAWALL-HOST"  // with a guard, what SEAWALL-INPUT goes on to
	SeawallPorts = "SEAWALL-PORTS" // with a large guard, what it goes on to
	// With bridges, what DOCKER-USER goes on to for packets that leave by one.
	SeawallBridges = "SEAWALL-BRIDGES"
	OwnedPrefix    = "SEAWALL-"
	SetPrefix      = "SEAWALL-s" // of ipsets: then the family, and a digest
)

// Owned reports whether Seawall fills, and may replace, the chain of this name.
func Owned(chain string) bool {
	return chain == DockerUser || strings.HasPrefix(chain, OwnedPrefix)
}

// Root is the chain that a hook's policy is carried out in.
func Root(hook packet.Hook) string {
	if hook == packet.Input {
		return SeawallInput
	}
	return DockerUser
}

// LooksOwn reports whether a rule of DOCKER-USER, as iptables-save prints it, has
// a form in which Seawall writes rules: bound to an interface, with conntrack's
// direction or RELATED, or nothing else, or leading to a chain of Seawall. People
// write such rules as well, so it is a sign and no proof.
func LooksOwn(text string, f packet.Family) bool {
	file, err := Parse([]byte("*filter\n:"+DockerUser+" - [0:0]\n"+text+"\nCOMMIT\n"), Options{Family: f, NoFlush: true})
	if err != nil || len(file.Tables[0].Chain(DockerUser).Rules) != 1 {
		return false
	}
	r := file.Tables[0].Chain(DockerUser).Rules[0]
	if strings.HasPrefix(r.Target.Name, OwnedPrefix) {
		return true
	}
	directed := false
	for _, m := range r.Matches {
		switch m.Name {
		case "comment", "limit":
		case "set":
			if o := m.Option("--match-set"); o == nil || !strings.HasPrefix(o.Values[0], SetPrefix) {
				return false
			}
		case "conntrack":
			directed = directed || m.Option("--ctdir") != nil || m.Option("--ctstate") != nil
		default:
			return false
		}
	}
	bound := r.In.Name != "" && !r.In.Not && r.Unread == ""
	return bound && (directed || len(r.Matches) == 0 && !r.Source.Prefix.IsValid() && r.Protocol.Name == "" && r.Target.Name != "RETURN" && r.Target.Name != "ACCEPT")
}
