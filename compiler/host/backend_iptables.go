package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// IPTables is the back end of iptables and ip6tables; a file is seawall.sh.
func (h *Host) IPTables() Backend { return byIPTables{h} }

type byIPTables struct{ *Host }

func (b byIPTables) Check() error {
	_, err := b.Saved(packet.IPv4)
	return err
}

func (b byIPTables) Rules() (map[packet.Family]dialect.Rules, error) {
	all := map[packet.Family]dialect.Rules{}
	for _, f := range packet.Families {
		t, err := b.Table(f)
		if err != nil {
			return nil, err
		}
		all[f] = t
	}
	return all, nil
}

func (b byIPTables) load(fresh emit.File) (map[string][]byte, error) {
	return map[string][]byte{"new.sh": fresh.Bytes, "back.sh": []byte(back)}, nil
}

// Placed reports whether Seawall's rules are in DOCKER-USER itself, and not in a chain beside
// those of others.
func (b byIPTables) Placed() (bool, error) {
	for _, f := range packet.Families {
		src, err := b.output(command(f)+"-save", "-t", "filter")
		if err != nil || slices.Contains(ownLines(src).chains, iptables.SeawallForward) {
			return false, err
		}
	}
	return true, nil
}

// current returns the rules of DOCKER-USER, and whether Seawall also has a chain of its own.
func (h *Host) current(f packet.Family) (rules []string, own bool, err error) {
	src, err := h.output(command(f)+"-save", "-t", "filter")
	if err != nil {
		return nil, false, err
	}
	p := ownLines(src)
	for _, c := range p.chains {
		own = own || c != iptables.DockerUser
	}
	return slices.DeleteFunc(p.rules, func(r string) bool {
		return !strings.HasPrefix(r, "-A "+iptables.DockerUser+" ") || r == "-A "+iptables.DockerUser+" -j RETURN"
	}), own, nil
}

// Foreign are the rules in DOCKER-USER that a script would remove and that are not known to be
// Seawall's: it did not load them from this folder, they are not in the script, and they do not
// look like its own on a host where it has chains.
func (b byIPTables) Foreign(t *Turn, fresh emit.File) ([]Rule, error) {
	script, err := emit.ReadScript(fresh.Bytes)
	if err != nil {
		return nil, err
	}
	var list []Rule
	for _, f := range packet.Families {
		rules, own, err := b.current(f)
		if err != nil {
			return nil, err
		}
		mayBeOwn := own && !slices.Contains(rules, theJump) // of a shared chain others have all rules
		known := linesOf(string(script.Rules(f)))
		if text, err := os.ReadFile(filepath.Join(t.dir, memory(f))); err == nil {
			known = append(known, linesOf(string(text))...)
		}
		for _, r := range rules {
			if !slices.Contains(known, r) && !leadsToOwn.MatchString(r) && !(mayBeOwn && iptables.LooksOwn(r, f)) {
				list = append(list, Rule{f, r})
			}
		}
	}
	return list, nil
}

func linesOf(text string) []string { return strings.Split(text, "\n") }

// memory is the file with the rules that the last apply loaded.
func memory(f packet.Family) string { return fmt.Sprintf("loaded-%d", f) }

// Current describes DOCKER-USER's current rules.
func (b byIPTables) Current() (Record, error) {
	all := Record{}
	for _, f := range packet.Families {
		rules, _, err := b.current(f)
		if err != nil {
			return nil, err
		}
		all[memory(f)] = []byte(strings.Join(rules, "\n") + "\n")
	}
	return all, nil
}

// Same reports whether DOCKER-USER and Seawall's chains have the rules of a script, in its
// order.
func (b byIPTables) Same(fresh emit.File) (bool, error) {
	script, err := emit.ReadScript(fresh.Bytes)
	if err != nil {
		return false, err
	}
	for _, f := range packet.Families {
		src, err := b.output(command(f)+"-save", "-t", "filter")
		if err != nil {
			return false, err
		}
		if !slices.Equal(byChain(rulesOf(script, f)), byChain(ownLines(src).rules)) {
			return false, nil
		}
	}
	return true, nil
}

// rulesOf are the rules of one family that a script loads.
func rulesOf(script *emit.Script, f packet.Family) []string {
	var list []string
	for _, line := range linesOf(string(script.Rules(f))) {
		if strings.HasPrefix(line, "-A ") {
			list = append(list, line)
		}
	}
	return list
}

// byChain groups rules by chain: iptables-save prints the chains in an order of its own.
func byChain(rules []string) []string {
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b string) int { return strings.Compare(chainOf(a), chainOf(b)) })
	return sorted
}

func chainOf(rule string) string { return strings.Fields(rule)[1] }
