package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
)

// destinationPorts are the options that match the packet's current destination port.
var destinationPorts = []string{"--dport", "--dports"}

// asked is the part of a rule's destination match that must be matched on the connection instead:
// after DNAT, only conntrack knows the original destination.
type asked struct {
	address bool     // the address of -d
	ports   []string // ports and ranges of --dport or --dports; with none, the option stays
}

// asOriginal rewrites a rule to match the original destination, as the words of one rule per
// port, because --ctorigdstport takes no list. It is nil if conntrack has no options for it.
func asOriginal(r *iptables.Rule, what asked) [][]string {
	words, options := spec(r), []string(nil)
	if what.address && r.Dest.Prefix.IsValid() {
		bare, ok := without(words, "-d")
		if !ok {
			return nil
		}
		words, options = bare, []string{"--ctorigdst", bareHost(r)}
	}
	if what.address && asksElsewhere(r) {
		return nil // matches the current destination in a way that conntrack cannot
	}
	if len(what.ports) == 0 {
		return oneRule(original(words, options...))
	}
	bare, ok := without(words, destinationPorts...)
	if !ok {
		return nil
	}
	var list [][]string
	for _, port := range what.ports {
		rule := oneRule(original(bare, append(slices.Clone(options), "--ctorigdstport", port)...))
		if rule == nil {
			return nil
		}
		list = append(list, rule...)
	}
	return list
}

func oneRule(words []string, ok bool) [][]string {
	if !ok {
		return nil
	}
	return [][]string{words}
}

// bareHost is a rule's destination as --ctorigdst takes it: a host without a prefix length.
func bareHost(r *iptables.Rule) string {
	p := r.Dest.Prefix
	return strings.TrimSuffix(p.String(), fmt.Sprintf("/%d", p.Addr().BitLen()))
}

// spec returns the words of a rule without its chain.
func spec(r *iptables.Rule) []string {
	words, err := iptables.Words(r.Spec())
	if err != nil {
		return nil // cannot happen: the rule was parsed from text
	}
	return words
}

// without removes an option with its value, and -m with its module if that has no other option.
// The second result is false if the option is missing or negated.
func without(words []string, names ...string) ([]string, bool) {
	at := slices.IndexFunc(words, func(w string) bool { return slices.Contains(names, w) })
	if at < 0 || at+1 >= len(words) || at > 0 && words[at-1] == "!" {
		return nil, false
	}
	rest := slices.Concat(words[:at], words[at+2:])
	if at >= 2 && words[at-2] == "-m" && (at == len(rest) || slices.Contains([]string{"-m", "-j", "-g"}, rest[at])) {
		rest = slices.Delete(rest, at-2, at)
	}
	return rest, true
}

// original adds conntrack options: the given ones and the original direction. It is false for a
// rule about replies.
func original(words []string, options ...string) ([]string, bool) {
	if at := slices.Index(words, "--ctdir"); at >= 0 {
		if at+1 < len(words) && words[at+1] != "ORIGINAL" {
			return nil, false
		}
	} else {
		options = append(slices.Clone(options), "--ctdir", "ORIGINAL")
	}
	if at := slices.Index(words, "conntrack"); at > 0 && words[at-1] == "-m" {
		end := at + slices.IndexFunc(words[at:], func(w string) bool { return w == "--ctdir" || w == "-m" || w == "-j" || w == "-g" })
		if end < at {
			return nil, false
		}
		return slices.Insert(slices.Clone(words), end, options...), true
	}
	at := slices.IndexFunc(words, func(w string) bool { return w == "-j" || w == "-g" })
	if at < 0 {
		return nil, false
	}
	return slices.Insert(slices.Clone(words), at, append([]string{"-m", "conntrack"}, options...)...), true
}
