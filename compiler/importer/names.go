package importer

import (
	"regexp"
	"strings"

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
		mapped := r.containerPort(first)
		if mapped == "" && !r.nat.known {
			mapped = portText(first, ":")
		}
		if text := r.rules.comment(first, mapped); text != "" {
			return text
		}
	}
	return ""
}

// portText is ports with a sign between the first and the last.
func portText(p portRange, sep string) string {
	text, _, _ := strings.Cut(p.String(), "/")
	return strings.ReplaceAll(text, "-", sep)
}

// containerPort is the port that DNAT makes of a published one, "" for none.
func (r *reading) containerPort(p portRange) string {
	for _, x := range r.nat.ports {
		if x.protocol == p.protocol && x.port == p.first {
			return portText(portRange{packet.TCP, int(x.to.Port()), int(x.to.Port())}, ":")
		}
	}
	return ""
}
