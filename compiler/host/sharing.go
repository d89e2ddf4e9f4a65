package host

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Sharing is the back end of iptables and ip6tables for a DOCKER-USER in which others have
// rules too. What it loads and takes back are Seawall's chains and the jump to them.
type Sharing struct {
	byIPTables
	dir   string // of the record of the last apply
	force bool
}

// SharedIPTables returns that back end. The folder is that of Begin. With force, rules that
// look like those of an earlier policy are Seawall's, also if no apply recorded them.
func (h *Host) SharedIPTables(dir string, force bool) *Sharing {
	return &Sharing{byIPTables{h}, dir, force}
}

// theJump is the rule of DOCKER-USER that leads to Seawall's.
const theJump = "-A " + iptables.DockerUser + " -j " + iptables.SeawallForward

// leadsToOwn matches a rule, as iptables-save prints it, that leads to one of Seawall's chains.
var leadsToOwn = regexp.MustCompile(` -[jg] ` + iptables.OwnedPrefix + `[^ "]+$`)

// dockerUser is a shared DOCKER-USER, as iptables-save prints its rules.
type dockerUser struct {
	rules []string
	// earlier are Seawall's own rules in it, from when the chain was Seawall's as a whole.
	earlier []string
	// alike are rules that look like such, and are not known to be.
	alike []string
}

// user reads DOCKER-USER from the output of iptables-save. Rules are Seawall's if the last
// apply recorded them. After a boot there is no record, and a chain that was Seawall's as a
// whole has rules that only look like its own; once DOCKER-USER jumps to Seawall's chain,
// they cannot be.
func (b *Sharing) user(src []byte, f packet.Family) *dockerUser {
	p := ownLines(src)
	u := &dockerUser{}
	for _, r := range p.rules {
		if chainOf(r) == iptables.DockerUser {
			u.rules = append(u.rules, r)
		}
	}
	var known []string
	if text, err := os.ReadFile(filepath.Join(b.dir, memory(f))); err == nil {
		known = linesOf(string(text))
	}
	hasChains := slices.ContainsFunc(p.chains, func(c string) bool { return c != iptables.DockerUser })
	mayBeOwn := hasChains && !slices.Contains(u.rules, theJump)
	for _, r := range u.rules {
		switch {
		case leadsToOwn.MatchString(r):
		case slices.Contains(known, r), b.force && mayBeOwn && iptables.LooksOwn(r, f):
			u.earlier = append(u.earlier, r)
		case mayBeOwn && iptables.LooksOwn(r, f):
			u.alike = append(u.alike, r)
		}
	}
	return u
}

// own reports whether a rule is Seawall's.
func (u *dockerUser) own(rule string) bool {
	return leadsToOwn.MatchString(rule) || slices.Contains(u.earlier, rule)
}

// owned are Seawall's rules.
func (u *dockerUser) owned() []string {
	return slices.DeleteFunc(slices.Clone(u.rules), func(r string) bool { return !u.own(r) })
}

// ended reports whether a rule before the jump lets no packet through to it, so that a load
// moves the jump.
func (u *dockerUser) ended() bool {
	at := slices.Index(u.rules, theJump)
	return slices.ContainsFunc(u.rules[:max(at, 0)], func(r string) bool {
		return r == "-A "+iptables.DockerUser+" -j RETURN" || r == "-A "+iptables.DockerUser+" -j ACCEPT"
	})
}

// joined reports whether Seawall has one rule in the chain, the jump, where a load leaves it.
func (u *dockerUser) joined() bool {
	return slices.Equal(u.owned(), []string{theJump}) && !u.ended()
}

// loaded are the rules of the chain after a load (the script's join).
func (u *dockerUser) loaded() []string {
	if u.joined() {
		return u.rules
	}
	stays := slices.Index(u.rules, theJump)
	if n := len(slices.DeleteFunc(slices.Clone(u.rules), func(r string) bool { return r != theJump })); n != 1 || u.ended() {
		stays = -1
	}
	var list []string
	if stays < 0 {
		list = append(list, theJump)
	}
	for i, r := range u.rules {
		if i == stays || !u.own(r) {
			list = append(list, r)
		}
	}
	return list
}

// save reads the filter table of a family.
func (b *Sharing) save(f packet.Family) ([]byte, error) {
	return b.output(command(f)+"-save", "-t", "filter")
}

// Earlier returns the rules in DOCKER-USER of a policy for which the chain was Seawall's as a
// whole: those that a load removes, and those that only look like it, and stay.
func (b *Sharing) Earlier() (removed, alike []Rule, err error) {
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return nil, nil, err
		}
		u := b.user(src, f)
		for _, r := range u.earlier {
			removed = append(removed, Rule{f, r})
		}
		for _, r := range u.alike {
			alike = append(alike, Rule{f, r})
		}
	}
	return removed, alike, nil
}

// Own returns the current rules without those that others have in DOCKER-USER.
func (b *Sharing) Own() (map[packet.Family]dialect.Rules, error) {
	return b.tables(nil, func(src []byte, f packet.Family) []byte {
		u := b.user(src, f)
		var text bytes.Buffer
		for line := range bytes.Lines(src) {
			rule := string(bytes.TrimSuffix(line, []byte("\n")))
			if !strings.HasPrefix(rule, "-A "+iptables.DockerUser+" ") || u.own(rule) {
				text.Write(line)
			}
		}
		return text.Bytes()
	})
}

// Expected returns the rules as they will be once a file is loaded.
func (b *Sharing) Expected(fresh emit.File) (map[packet.Family]dialect.Rules, error) {
	script, err := emit.ReadScript(fresh.Bytes)
	if err != nil {
		return nil, err
	}
	sets, err := ipset.Parse(script.Sets)
	if err != nil {
		return nil, err
	}
	return b.tables(sets, func(src []byte, f packet.Family) []byte {
		return after(src, b.user(src, f).loaded(), string(script.Rules(f)))
	})
}

// after is the output of iptables-save once Seawall's chains, as a section for
// iptables-restore has them, are loaded.
func after(src []byte, user []string, section string) []byte {
	jumps := map[string]string{"FORWARD": "-A FORWARD -j " + iptables.DockerUser, "INPUT": "-A INPUT -j " + iptables.SeawallInput}
	declared := map[string]string{"INPUT": ":INPUT ACCEPT [0:0]", "FORWARD": ":FORWARD ACCEPT [0:0]", "OUTPUT": ":OUTPUT ACCEPT [0:0]", iptables.DockerUser: ":" + iptables.DockerUser + " - [0:0]"}
	rules := []string{jumps["FORWARD"]}
	if strings.Contains(section, "\n:"+iptables.SeawallInput+" ") {
		rules = append(rules, jumps["INPUT"])
	}
	for _, line := range linesOf(string(src)) {
		name, isChain := strings.CutPrefix(line, ":")
		name, _, _ = strings.Cut(name, " ")
		switch {
		case isChain && !iptables.Owned(name):
			declared[name] = line
		case strings.HasPrefix(line, "-A ") && !iptables.Owned(chainOf(line)) && line != jumps[chainOf(line)]:
			rules = append(rules, line)
		}
	}
	rules = append(rules, user...)
	for _, line := range linesOf(section) {
		name, isChain := strings.CutPrefix(line, ":")
		name, _, _ = strings.Cut(name, " ")
		switch {
		case isChain:
			declared[name] = line
		case strings.HasPrefix(line, "-A "):
			rules = append(rules, line)
		}
	}
	chains := slices.Sorted(maps.Values(declared))
	return []byte("*filter\n" + strings.Join(append(chains, rules...), "\n") + "\nCOMMIT\n")
}

// tables reads the kernel's filter tables, as edited, with its ipsets and others.
func (b *Sharing) tables(sets ipset.Sets, edit func([]byte, packet.Family) []byte) (map[packet.Family]dialect.Rules, error) {
	all := map[packet.Family]dialect.Rules{}
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return nil, err
		}
		t, err := b.filter(edit(src, f), f)
		if err != nil {
			return nil, err
		}
		if t.Sets == nil {
			t.Sets = ipset.Sets{} // there is no ipset
		}
		maps.Copy(t.Sets, sets)
		all[f] = t
	}
	return all, nil
}

// Foreign are none: what others have in DOCKER-USER stays.
func (b *Sharing) Foreign(*Turn, emit.File) ([]Rule, error) { return nil, nil }

// Placed reports whether Seawall has one rule in DOCKER-USER, the jump, at a place that
// packets reach.
func (b *Sharing) Placed() (bool, error) {
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil || !b.user(src, f).joined() {
			return false, err
		}
	}
	return true, nil
}

// Same reports whether Seawall's chains have the rules of a script, in its order, and
// DOCKER-USER nothing of Seawall's but the jump.
func (b *Sharing) Same(fresh emit.File) (bool, error) {
	script, err := emit.ReadScript(fresh.Bytes)
	if err != nil {
		return false, err
	}
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return false, err
		}
		if !b.user(src, f).joined() || !slices.Equal(byChain(rulesOf(script, f)), byChain(inOwnChains(src).rules)) {
			return false, nil
		}
	}
	return true, nil
}

// inOwnChains is the part of the output of iptables-save that is Seawall's chains, without
// DOCKER-USER.
func inOwnChains(src []byte) printed {
	p := ownLines(src)
	p.declared = slices.DeleteFunc(p.declared, func(l string) bool { return strings.HasPrefix(l, ":"+iptables.DockerUser+" ") })
	p.rules = slices.DeleteFunc(p.rules, func(r string) bool { return chainOf(r) == iptables.DockerUser })
	return p
}

// Current describes Seawall's rules in DOCKER-USER: never those of others, which a later
// apply would take for its own.
func (b *Sharing) Current() (Record, error) {
	all := Record{}
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return nil, err
		}
		all[memory(f)] = []byte(strings.Join(b.user(src, f).owned(), "\n") + "\n")
	}
	return all, nil
}

func (b *Sharing) load(fresh emit.File) (map[string][]byte, error) {
	script, err := emit.Guarded(fresh.Bytes)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"new.sh": script, "back.sh": []byte(back)}
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return nil, err
		}
		files[fmt.Sprintf("drop-%d", f)] = eachLine(b.user(src, f).earlier)
	}
	return files, nil
}

// keep saves Seawall's chains as they are, and what DOCKER-USER has of Seawall's.
func (b *Sharing) keep(dir string) error {
	var sets []string
	for _, f := range packet.Families {
		src, err := b.save(f)
		if err != nil {
			return err
		}
		u := b.user(src, f)
		file, err := parseSaved(src, f)
		if err != nil {
			return err
		}
		sets = append(sets, slices.DeleteFunc(asked(file.Table("filter"), iptables.DockerUser), func(name string) bool { return !strings.HasPrefix(name, iptables.SetPrefix) })...)
		sets = append(sets, asked(file.Table("filter"), ownChains(file.Table("filter"))...)...)
		if err := b.write(dir, f, src, inOwnChains(src), nil); err != nil {
			return err
		}
		if err := u.write(dir, f); err != nil {
			return err
		}
	}
	return b.keepSets(dir, sets)
}

// ownChains are the names of Seawall's chains in a table, without DOCKER-USER.
func ownChains(t *iptables.Table) []string {
	var names []string
	if t != nil {
		for _, c := range t.Chains {
			if iptables.Owned(c.Name) && c.Name != iptables.DockerUser {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// write writes what the way back has to know of a shared DOCKER-USER.
func (u *dockerUser) write(dir string, f packet.Family) error {
	var ours, others, ahead, put []string
	for i, r := range u.rules {
		if !u.own(r) {
			others = append(others, r)
			continue
		}
		if ours == nil {
			ahead = slices.Clone(others)
		}
		ours = append(ours, r)
		put = append(put, fmt.Sprintf("-I %s %d %s", iptables.DockerUser, i+1, strings.TrimPrefix(r, "-A "+iptables.DockerUser+" ")))
	}
	joined := "no\n"
	if u.joined() {
		joined = "yes\n"
	}
	var failed []error
	for name, text := range map[string][]byte{
		"ours": eachLine(ours), "others": eachLine(others), "ahead": eachLine(ahead), "put": eachLine(put), "joined": []byte(joined),
	} {
		failed = append(failed, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d", name, f)), text, 0o600))
	}
	return errors.Join(failed...)
}

func eachLine(list []string) []byte {
	if len(list) == 0 {
		return nil
	}
	return []byte(strings.Join(list, "\n") + "\n")
}
