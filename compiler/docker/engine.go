package docker

import (
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
)

// Engine is a generation of Docker's chains (NETFILTER.md section 1).
type Engine int

// The generations.
const (
	NoEngine   Engine = iota
	Classic           // 20.10 to 27: rules for each bridge in FORWARD
	First28           // 28.0.0: FORWARD matches the set docker-ext-bridges-v4 for all bridges
	Docker28          // 28.0.1 to 28.5: DOCKER-FORWARD, with the isolation chains
	Docker29          // 29: DOCKER-FORWARD, with DOCKER-INTERNAL
	Flushed           // some engine whose filter chains are all missing
	NFTables29        // 29 with its nftables back end: the tables docker-bridges
)

func (e Engine) String() string {
	return [...]string{"no Docker", "Docker 20.10 to 27", "Docker 28.0.0", "Docker 28", "Docker 29 or later", "Docker, without its filter chains", "Docker 29 or later with nftables"}[e]
}

// The chains of the filter table that are used in several places.
const (
	chainForward  = "DOCKER-FORWARD"
	chainCT       = "DOCKER-CT"
	chainBridge   = "DOCKER-BRIDGE"
	chainInternal = "DOCKER-INTERNAL"
	chainStage1   = "DOCKER-ISOLATION-STAGE-1"
	chainStage2   = "DOCKER-ISOLATION-STAGE-2"
	chainDocker   = "DOCKER"
	chainIngress  = "DOCKER-INGRESS" // of Swarm; in nat as well
)

// extBridges is the prefix of the set name of 28.0.0, which ends in v4 or v6.
const extBridges = "docker-ext-bridges-"

// Chains are the filter chains that an engine has, except those of Swarm.
func (e Engine) Chains() []string {
	switch e {
	case Classic, First28:
		return []string{iptables.DockerUser, chainDocker, chainStage1, chainStage2}
	case Docker28:
		return []string{iptables.DockerUser, chainDocker, chainForward, chainCT, chainBridge, chainStage1, chainStage2}
	case Docker29:
		return []string{iptables.DockerUser, chainDocker, chainForward, chainCT, chainBridge, chainInternal}
	default:
		return nil
	}
}

// forwards reports whether the engine has its rules in DOCKER-FORWARD.
func (e Engine) forwards() bool { return e == Docker28 || e == Docker29 }

// stages reports whether the engine isolates networks in two stages.
func (e Engine) stages() bool { return e == Classic || e == First28 || e == Docker28 }

// engine detects the generation from any of its own chains and the jumps to them, so that a
// missing one does not hide it.
func engine(t Tables) Engine {
	has := func(names ...string) bool {
		for _, name := range names {
			if t.Filter.Chain(name) != nil || jumpsTo(t.Filter, "FORWARD", name) || jumpsTo(t.Filter, chainForward, name) {
				return true
			}
		}
		return false
	}
	switch {
	case has(chainForward, chainCT, chainBridge, chainInternal):
		return forwarding(t, has(chainInternal), has(chainStage1, chainStage2))
	case asksSet(t.Filter):
		return First28
	case has(chainDocker, chainStage1, chainStage2):
		return Classic
	case dockerNAT(t.Nat):
		return Flushed
	default:
		return NoEngine
	}
}

// forwarding distinguishes 28 from 29. After an upgrade or downgrade, a chain of one may be left
// on a host of the other; the one in use has a jump to it. If there is neither, the nat table
// decides: 28 returns packets from its own bridges.
func forwarding(t Tables, internal, stages bool) Engine {
	switch {
	case internal && stages && jumpsTo(t.Filter, chainForward, chainStage1), stages && !internal:
		return Docker28
	case internal:
		return Docker29
	}
	older := false
	each(t.Nat, chainDocker, func(r *iptables.Rule) {
		older = older || r.Target.Name == "RETURN" && r.In.Name != "" && !r.In.Not && r.In.Name != "loopback0"
	})
	if older {
		return Docker28
	}
	return Docker29
}

func jumpsTo(t *iptables.Table, chain, name string) bool {
	found := false
	each(t, chain, func(r *iptables.Rule) { found = found || r.Target.Name == name })
	return found
}

// asksSet reports whether FORWARD matches the set of 28.0.0.
func asksSet(t *iptables.Table) bool {
	found := false
	each(t, "FORWARD", func(r *iptables.Rule) { found = found || strings.Contains(r.Spec(), "--match-set "+extBridges) })
	return found
}

// dockerNAT reports whether the nat table has Docker's chain.
func dockerNAT(t *iptables.Table) bool { return t.Chain(chainDocker) != nil }
