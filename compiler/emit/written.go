package emit

import (
	"regexp"
	"slices"
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
	// begun are the chains that have had a rule of a policy: what is for all interfaces
	// comes before.
	begun map[string]bool
	// wide are the patterns of interfaces of the whole text, "" for every interface: only
	// where there is one, an interface is left out by name.
	wide []string
}

// writtenIn is ready for the first line of a text.
func writtenIn(lines []string) written {
	var w written
	for _, text := range lines {
		part := ruleForm.FindStringSubmatch(ruleOf(strings.TrimRight(text, " \t\r\n")))
		if part != nil && part[4] != "" && (part[1] == "" || strings.HasSuffix(part[1], "+")) && !slices.Contains(w.wide, part[1]) {
			w.wide = append(w.wide, part[1])
		}
	}
	return w
}

// ruleOf is a line of one of Seawall's chains without that, "" for any other.
func ruleOf(text string) string {
	rule, ok := strings.CutPrefix(text, "-A ")
	chain, spec, _ := strings.Cut(rule, " ")
	if !ok || !iptables.Owned(chain) {
		return ""
	}
	return spec
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
	`(?:-m conntrack (--ctstate (?:RELATED|ESTABLISHED|RELATED,ESTABLISHED|INVALID) )?(?:--ctorigdst [0-9a-f.:/]+ )?(?:--ctorigdstport [0-9:]+ )?(--ctdir (?:ORIGINAL|REPLY) )?)?` +
	`(?:-m (?:tcp|udp|sctp) --dport [0-9:]+ )?(?:-m set (?:! )?--match-set SEAWALL-s[^ ]+ src )?(?:-m limit --limit [0-9]+/[a-z]+ )?(?:-m comment --comment (?:"(?:[^"\\]|\\.)*"|[^ "]+) )?` +
	`(-j RETURN|-j ACCEPT|-j DROP|-j REJECT --reject-with [a-z0-9-]+|-j LOG --log-prefix (?:"(?:[^"\\]|\\.)*"|[^ "]+)|-[gj] SEAWALL-[^ ]+)$`)

// rule is line for a rule of one of Seawall's chains. In those that hooks call, it opens the
// chain for all interfaces, leads to another of Seawall's chains, or is bound to a state or
// direction; DOCKER-USER ends in a verdict for the interface. The chains behind them ask only
// for what is not known yet.
func (w *written) rule(chain, spec string) bool {
	part := ruleForm.FindStringSubmatch(spec)
	if part == nil {
		return false
	}
	in, protocol, state, direction, target := part[1], part[2], part[3], part[4], part[5]
	switch {
	case chain != iptables.DockerUser && chain != iptables.SeawallForward && chain != iptables.SeawallInput:
		return true
	case !w.begun[chain] && w.opens(spec, in):
		return true
	case strings.HasPrefix(target[len("-j "):], iptables.OwnedPrefix):
		return true
	}
	if w.begun == nil {
		w.begun = map[string]bool{}
	}
	w.begun[chain] = w.begun[chain] || !strings.Contains(spec, "-o ") // what is routed for others comes first too
	switch {
	case in == "" && !slices.Contains(w.wide, ""):
		return false
	case state != "" || direction != "":
		w.heard(spec, in, direction, target)
		return true
	}
	return w.answers[in] && ends(spec, in, protocol, target)
}

// opening is a rule for all interfaces.
var opening = regexp.MustCompile(`^-m conntrack --ctstate (?:(?:RELATED|ESTABLISHED|RELATED,ESTABLISHED) -j (?:ACCEPT|RETURN)|INVALID -j DROP)$`)

// opens reports whether a rule is one with which a chain begins: for all interfaces, or for
// one that is left out of a pattern.
func (w *written) opens(spec, in string) bool {
	if spec == "-i "+in+" -j RETURN" {
		return slices.ContainsFunc(w.wide, func(pattern string) bool { return strings.HasPrefix(in, strings.TrimSuffix(pattern, "+")) })
	}
	return opening.MatchString(spec)
}

// heard notes that the answers that come in on an interface pass.
func (w *written) heard(spec, in, direction, target string) {
	if spec != from(in)+"-m conntrack "+direction+target || direction != "--ctdir REPLY " || target != "-j RETURN" {
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
	want := from(in)
	if protocol != "" {
		want += "-p " + protocol + " "
	}
	rest, ok := strings.CutPrefix(spec, want)
	return ok && (rest == target || strings.HasPrefix(rest, "-m comment ")) && target != "-j RETURN" && target != "-j ACCEPT"
}

// from is how a rule names the interface on which packets come in.
func from(in string) string {
	if in == "" {
		return ""
	}
	return "-i " + in + " "
}
