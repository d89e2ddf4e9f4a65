package emit

import (
	"regexp"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
)

// written recognises the lines that Seawall writes into a boot file, of any policy
// and in any layout. People edit such files by hand, also between the marks; what
// they put there is recognised only by its form, since the policy that a block was
// made from is not at hand. The zero value is ready for the first line of a block.
type written struct {
	// answers are the interfaces whose answers pass: only after that does
	// DOCKER-USER end in a verdict for all that comes from them.
	answers map[string]bool
}

// line reports whether a line has a form in which Seawall writes lines. A comment or
// an empty line is nobody's rule.
func (w *written) line(text string) bool {
	text = strings.TrimRight(text, " \t\r\n")
	switch {
	case text == "" || strings.HasPrefix(text, "#"), text == "*filter", text == "COMMIT", text == flushInput:
		return true
	case strings.HasPrefix(text, ":"):
		name, rest, _ := strings.Cut(text[1:], " ")
		return iptables.Owned(name) || isHook(name) && rest == "ACCEPT [0:0]"
	case isJump(text):
		return true
	}
	rule, ok := strings.CutPrefix(text, "-A ")
	if !ok {
		return false
	}
	chain, spec, _ := strings.Cut(rule, " ")
	return iptables.Owned(chain) && w.rule(chain, spec)
}

func isHook(chain string) bool { return chain == "INPUT" || chain == "FORWARD" || chain == "OUTPUT" }

// isJump reports whether a line is one of the jumps to the policy's chains.
func isJump(text string) bool {
	for _, j := range jumps(&Chains{ToHost: true, Shared: true}) {
		if text == "-A "+j || text == "-I "+j {
			return true
		}
	}
	return false
}

// ruleForm is a rule as package lower makes them, after its chain. Its groups are
// the interface, the protocol, the connection's state or direction, and the target.
var ruleForm = regexp.MustCompile(`^(?:(?:! )?-s [0-9a-f.:]+/[0-9]+ )?(?:-d [0-9a-f.:]+/[0-9]+ )?(?:-i ([^ ]+) )?(?:-o [^ ]+ )?(?:-p (tcp|udp|sctp|icmp|ipv6-icmp) )?` +
	`(?:-m conntrack (--ctstate (?:RELATED|ESTABLISHED|INVALID) )?(?:--ctorigdst [0-9a-f.:/]+ )?(?:--ctorigdstport [0-9:]+ )?(--ctdir (?:ORIGINAL|REPLY) )?)?` +
	`(?:-m (?:tcp|udp|sctp) --dport [0-9:]+ )?(?:-m set (?:! )?--match-set SEAWALL-s[^ ]+ src )?(?:-m limit --limit [0-9]+/[a-z]+ )?(?:-m comment --comment (?:"(?:[^"\\]|\\.)*"|[^ "]+) )?` +
	`(-j RETURN|-j ACCEPT|-j DROP|-j REJECT --reject-with [a-z0-9-]+|-j LOG --log-prefix (?:"(?:[^"\\]|\\.)*"|[^ "]+)|-[gj] SEAWALL-[^ ]+)$`)

// rule is line for a rule of one of Seawall's chains. In the two that hooks call,
// every rule is bound to an interface and to a state or direction, but for the end
// of DOCKER-USER; the chains behind them ask only for what is not known yet.
func (w *written) rule(chain, spec string) bool {
	part := ruleForm.FindStringSubmatch(spec)
	if part == nil {
		return false
	}
	in, protocol, state, direction, target := part[1], part[2], part[3], part[4], part[5]
	switch {
	case chain != iptables.DockerUser && chain != iptables.SeawallForward && chain != iptables.SeawallInput:
		return true
	case in == "":
		return false
	case state != "" || direction != "":
		w.heard(spec, in, direction, target)
		return true
	}
	return w.answers[in] && ends(spec, in, protocol, target)
}

// heard notes that the answers that come in on an interface pass.
func (w *written) heard(spec, in, direction, target string) {
	if spec != "-i "+in+" -m conntrack "+direction+target || direction != "--ctdir REPLY " || target != "-j RETURN" {
		return
	}
	if w.answers == nil {
		w.answers = map[string]bool{}
	}
	w.answers[in] = true
}

// ends reports whether a rule is the verdict for everything else from an interface:
// it matches nothing except the protocol that a REJECT needs.
func ends(spec, in, protocol, target string) bool {
	want := "-i " + in + " "
	if protocol != "" {
		want += "-p " + protocol + " "
	}
	rest, ok := strings.CutPrefix(spec, want)
	return ok && (rest == target || strings.HasPrefix(rest, "-m comment ")) && target != "-j RETURN" && target != "-j ACCEPT"
}
