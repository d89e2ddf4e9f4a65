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
	OwnedPrefix  = "SEAWALL-"
	SetPrefix    = "SEAWALL-s" // of ipsets: then the family, and a digest
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
