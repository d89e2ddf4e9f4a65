package iptables

import (
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// The chains that Seawall fills. Docker creates DOCKER-USER and makes it the
// first jump in FORWARD; Seawall's own are called from INPUT, where docker-proxy
// gets its connections (NETFILTER.md section 2).
const (
	DockerUser   = "DOCKER-USER"
	SeawallInput = "SEAWALL-INPUT"
	// Where DOCKER-USER is shared, Seawall's rules are in this chain, to which it jumps.
	SeawallForward = "SEAWALL-FORWARD"
	SeawallHost    = "SEAWALL-HOST"  // with a guard, where SEAWALL-INPUT continues
	SeawallPorts   = "SEAWALL-PORTS" // with a large guard, where that continues
	// With bridges, where DOCKER-USER continues for packets that leave by one.
	SeawallBridges = "SEAWALL-BRIDGES"
	SeawallInvalid = "SEAWALL-INVALID" // where SEAWALL-INPUT continues for INVALID packets
	OwnedPrefix    = "SEAWALL-"
	SetPrefix      = "SEAWALL-s" // of ipset names, followed by the family and a digest
)

// Owned reports whether Seawall fills, and may replace, the chain of this name.
func Owned(chain string) bool {
	return chain == DockerUser || strings.HasPrefix(chain, OwnedPrefix)
}

// Root returns the chain that carries out the policy at a hook: at FORWARD the chain
// DOCKER-USER as a whole, whoever else has rules in it, and in a table without it, such as
// a file for a shared one, Seawall's own.
func (t *Table) Root(hook packet.Hook) string {
	switch {
	case hook == packet.Input:
		return SeawallInput
	case t.Chain(DockerUser) == nil && t.Chain(SeawallForward) != nil:
		return SeawallForward
	}
	return DockerUser
}

// LooksOwn reports whether a rule of DOCKER-USER, as iptables-save prints it, has
// one of the forms in which Seawall writes rules: bound to an interface, with
// conntrack's direction or RELATED or no other match, or leading to one of
// Seawall's chains. People write such rules as well, so it is a hint, not proof.
func LooksOwn(text string, f packet.Family) bool {
	file, err := Parse([]byte("*filter\n:"+DockerUser+" - [0:0]\n"+text+"\nCOMMIT\n"), Options{Family: f, NoFlush: true})
	if err != nil || len(file.Tables[0].Chain(DockerUser).Rules()) != 1 {
		return false
	}
	r := file.Tables[0].Chain(DockerUser).Rules()[0]
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
