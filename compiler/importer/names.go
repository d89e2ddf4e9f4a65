package importer

import (
	"regexp"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// ofPolicy is the line that Seawall writes before the rules of a policy.
var ofPolicy = regexp.MustCompile(`^(?:# )?policy (.+?)(?: \([^()]*\))?(?:: .*)?$`)

// name names the policies of a plan after the comments of the rules that say them.
func (m *imported) name(p *plan) {
	taken := map[string]bool{}
	for _, x := range p.policies {
		x.name = slug(taken, m.commentOf(x.ports[0]), strings.ReplaceAll(x.ports[0].String(), "/", "-"))
	}
}

// commentOf finds the comment of the rules that name a port, as it is published or as the
// container has it.
func (m *imported) commentOf(first portRange) string {
	for _, r := range m.readings {
		ports := map[string]string{} // the values of options that are about it
		text := iptablesPorts(first, ":")
		ports["--ctorigdstport"] = text
		if mapped := r.containerPort(first); mapped != "" {
			ports["--dport"] = mapped
		} else if !r.nat.known {
			ports["--dport"] = text
		}
		for _, c := range r.chain.Table.Chains {
			for _, rule := range c.Rules {
				if !r.reached[rule] || rule.Protocol.Name != first.protocol.String() || !names(rule, ports) {
					continue
				}
				if text := r.comment(rule); text != "" {
					return text
				}
			}
		}
	}
	return ""
}

// names reports whether a rule has one of some options with its value.
func names(rule *iptables.Rule, values map[string]string) bool {
	for _, m := range rule.Matches {
		for _, o := range m.Options {
			if v, asked := values[o.Name]; asked && !o.Not && len(o.Values) == 1 && o.Values[0] == v {
				return true
			}
		}
	}
	return false
}

func iptablesPorts(p portRange, sep string) string {
	text, _, _ := strings.Cut(p.String(), "/")
	return strings.ReplaceAll(text, "-", sep)
}

// containerPort is the port that DNAT makes of a published one, "" for none.
func (r *reading) containerPort(p portRange) string {
	for _, x := range r.nat.ports {
		if x.protocol == p.protocol && x.port == p.first {
			return iptablesPorts(portRange{packet.TCP, int(x.to.Port()), int(x.to.Port())}, ":")
		}
	}
	return ""
}
