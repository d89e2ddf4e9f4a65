package emit

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// UFWHook is the program that ufw runs before it loads its rules.
const UFWHook = "before.init"

// ufwNames are the files that ufw loads after the rules of its command.
var ufwNames = [2]string{"after.rules", "after6.rules"}

// UFW is a part of ufw's own files.
var UFW = register(Format{
	Name: "ufw", Order: 5,
	Summary: "after.rules, after6.rules and before.init of ufw, a marked block in each",
	Names:   ufwNames, Hook: UFWHook,
	Files: func(c *Chains) []File {
		return append(perFamily(c, ufwNames[0], ufwNames[1], ufwRules), ufwInit(c))
	},
	Splice: spliceUFW, SpliceHook: spliceInit, Loaded: ufwLoaded, NoSets: true, WithSets: true,
})

// ufwRules is the part of after.rules or after6.rules that is Seawall's: a section of
// its own, which ufw loads with iptables-restore --noflush, when it starts and at each
// reload.
//
// ufw's own chains are empty while it reloads, and their hooks accept. So no jump may
// stand in one of them: before.init makes the jumps in the built-in chains, once.
func ufwRules(c *Chains, f packet.Family) []byte {
	t := c.Table(f)
	b := begun(c, t)
	replacing(b, t)
	return b.Bytes()
}

// ufwInit is a whole before.init, for a host that has none.
func ufwInit(c *Chains) File {
	text := "#!/bin/sh\n# " + head(c)[0] + "\nset -e\n\n" + initCommands(c)
	return File{Name: UFWHook, Bytes: []byte(text), Hook: true}
}

// initCommands make the jumps that are missing, and the chains that they lead to where
// ufw has not loaded them yet: it runs before.init first.
func initCommands(c *Chains) string {
	var made, calls strings.Builder
	for _, chain := range called(c) {
		fmt.Fprintf(&made, "\t\t\"$seawall\" -w 10 -S %[1]s >/dev/null 2>&1 || \"$seawall\" -w 10 -N %[1]s\n", chain)
	}
	for _, j := range jumps(c) {
		fmt.Fprintf(&calls, "\t\t\"$seawall\" -w 10 -C %[1]s 2>/dev/null || \"$seawall\" -w 10 -I %[1]s\n", j)
	}
	return `# The jumps to the chains in after.rules and after6.rules. They are in none of ufw's
# own chains, which are empty while ufw reloads.
case "$1" in
start)
` + awaitedCommands(c) + `	for seawall in iptables ip6tables; do
		# A kernel may have no IPv6.
		[ "$seawall" = iptables ] || "$seawall" -w 10 -S INPUT >/dev/null 2>&1 || continue
` + made.String() + calls.String() + `	done
	;;
*) ;;
esac
`
}

// awaitedCommands create the ipsets that others fill, where they have not done so yet: ufw
// loads none before its rules.
func awaitedCommands(c *Chains) string {
	var b strings.Builder
	create := func(names []string, family string) {
		for _, name := range names {
			fmt.Fprintf(&b, "\tipset -n list %[1]s >/dev/null 2>&1 || ipset create %[1]s %[2]s\n", name, awaitedType(family))
		}
	}
	create(c.V4.Awaited, "inet")
	create(c.V6.Awaited, "inet6")
	if b.Len() == 0 {
		return ""
	}
	return "\t# Others fill these ipsets. Without them no rule is loaded.\n" + b.String()
}

// called are the chains that the jumps need, in order; the built-in ones are there.
func called(c *Chains) []string {
	var list []string
	for _, j := range jumps(c) {
		from, to, _ := strings.Cut(j, " -j ")
		for _, chain := range []string{from, to} {
			if !isHook(chain) && !slices.Contains(list, chain) {
				list = append(list, chain)
			}
		}
	}
	return list
}

// The marks around the part of after.rules that ufw-docker writes.
const (
	ufwDockerBegin = "# BEGIN UFW AND DOCKER"
	ufwDockerEnd   = "# END UFW AND DOCKER"
)

// UFWDocker returns the first and the last line of ufw-docker's block in a file; 0 for
// none.
func UFWDocker(base []byte) (first, last int) {
	for i, line := range lines(base) {
		switch text := strings.TrimSpace(line); {
		case first == 0 && text == ufwDockerBegin:
			first = i + 1
		case first > 0 && text == ufwDockerEnd:
			return first, i + 1
		}
	}
	return 0, 0
}

// withoutLines returns a text without the lines from first to last.
func withoutLines(text []byte, first, last int) []byte {
	list := lines(text)
	return []byte(strings.Join(slices.Delete(list, first-1, last), ""))
}

// spliceUFW puts Seawall's section at the end of ufw's after.rules or after6.rules, in a
// marked block, and keeps every other byte. What the file has of Seawall's chains
// elsewhere is replaced, and so is ufw-docker's block; the notes name both.
func spliceUFW(base []byte, c *Chains, f packet.Family) (File, []string, error) {
	file := File{Name: ufwNames[0], Families: []packet.Family{f}, Base: base}
	if f == packet.IPv6 {
		file.Name = ufwNames[1]
	}
	text := base
	var notes []string
	if first, last := UFWDocker(base); first > 0 {
		text = withoutLines(base, first, last)
		notes = append(notes, fmt.Sprintf("lines %d to %d, the block of ufw-docker, were removed", first, last))
	}
	s := &splicer{chains: c, table: c.Table(f), lines: lines(text), end: "\n", generated: Generated(text)}
	kept, err := s.withoutOwn()
	if err != nil {
		return file, nil, err
	}
	s.noteOwn()
	notes = append(notes, s.notes...)
	if s.generated && !HasBlock(text) && !edited(text) {
		file.Bytes = ufwRules(c, f) // nothing in it is anybody else's
		return file, notes, nil
	}
	var out strings.Builder
	for _, line := range kept {
		out.WriteString(line)
	}
	if n := len(kept); n > 0 && !strings.HasSuffix(kept[n-1], "\n") {
		out.WriteString("\n")
	}
	s.marked(&out, func() { out.Write(ufwRules(c, f)) })
	file.Bytes = []byte(out.String())
	return file, notes, nil
}

// spliceInit puts the commands that make the jumps into ufw's before.init, behind its
// "set -e", and keeps every other byte.
func spliceInit(base []byte, c *Chains) (File, error) {
	file := ufwInit(c)
	file.Base = base
	if Generated(base) && !HasBlock(base) || len(bytes.TrimSpace(base)) == 0 {
		return file, nil
	}
	kept, err := withoutBlock(base)
	if err != nil {
		return file, err
	}
	if len(kept) > 0 && !forShell.MatchString(kept[0]) {
		return file, fmt.Errorf("it is not a script for sh, so the commands that make the jumps cannot be spliced into it. Call it from one that is, or run these commands when it is called with start:\n\n%s", initCommands(c))
	}
	at := afterSetE(kept)
	var out strings.Builder
	for i, line := range kept {
		if i == at {
			writeInit(&out, c)
		}
		out.WriteString(line)
	}
	if at == len(kept) {
		if !strings.HasSuffix(kept[at-1], "\n") {
			out.WriteString("\n")
		}
		writeInit(&out, c)
	}
	file.Bytes = []byte(out.String())
	return file, nil
}

func writeInit(out *strings.Builder, c *Chains) {
	fmt.Fprintf(out, "%s\n# %s\n%s%s\n", beginMark, head(c)[0], initCommands(c), endMark)
}

// withoutBlock returns the lines of a text without those of Seawall's blocks.
func withoutBlock(text []byte) ([]string, error) {
	var kept []string
	inside := false
	for i, line := range lines(text) {
		switch {
		case strings.HasPrefix(line, beginMark):
			inside = true
		case strings.HasPrefix(line, endMark) && !inside:
			return nil, fmt.Errorf("line %d: %q without its begin", i+1, endMark)
		case strings.HasPrefix(line, endMark):
			inside = false
		case !inside:
			kept = append(kept, line)
		}
	}
	if inside {
		return nil, fmt.Errorf("%q has no end in the file", beginMark)
	}
	return kept, nil
}

// forShell matches the first line of a script for a POSIX shell; the kernel hands one without
// an interpreter to nobody, so there #! is part of it.
var forShell = regexp.MustCompile(`^#!\s*(/usr)?(/local)?/bin/(env\s+)?(ba|da|a|k|mk|z)?sh(\s|$)`)

// setE is the line after which a script ends at the first command that fails.
var setE = regexp.MustCompile(`^set -[a-z]*e[a-z]*\s*$`)

// afterSetE returns the line before which the block goes: the first that is neither empty
// nor a comment, or the one behind it if it is "set -e". A later "set -e" may be in a
// function, a text, or behind an exit.
func afterSetE(list []string) int {
	for i, l := range list {
		switch text := strings.TrimSpace(l); {
		case text == "" || strings.HasPrefix(text, "#"):
		case setE.MatchString(l):
			return i + 1
		default:
			return i
		}
	}
	return len(list)
}

// ufwLoaded is what is in the filter table once before.init has run and ufw has loaded a
// file: ufw's chains stand behind Seawall's jumps in the built-in ones, and what the file
// inserts stands before them.
func ufwLoaded(c *Chains, text []byte, f packet.Family) []byte {
	six := ""
	if f == packet.IPv6 {
		six = "6"
	}
	var b bytes.Buffer
	b.WriteString("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-F INPUT\n-F FORWARD\n-F OUTPUT\n")
	for _, chain := range called(c) {
		fmt.Fprintf(&b, ":%s - [0:0]\n", chain)
	}
	for _, j := range jumps(c) {
		fmt.Fprintf(&b, "-I %s\n", j)
	}
	for _, hook := range []string{"input", "output", "forward"} {
		for _, stage := range []string{"before-logging", "before", "after", "after-logging", "reject", "track"} {
			chain := "ufw" + six + "-" + stage + "-" + hook
			fmt.Fprintf(&b, ":%s - [0:0]\n-A %s -j %s\n", chain, strings.ToUpper(hook), chain)
		}
		fmt.Fprintf(&b, ":ufw%s-skip-to-policy-%s - [0:0]\n", six, hook)
	}
	b.WriteString("COMMIT\n")
	b.Write(text)
	return b.Bytes()
}
