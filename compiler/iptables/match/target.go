package match

import (
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/packet"
)

// Standard maps the targets that are not modules to the kernel's own verdicts.
// RETURN is not among them, because where it leads depends on the chain.
var Standard = map[string]packet.Verdict{
	"ACCEPT": packet.Accept,
	"DROP":   packet.Deny,
	"QUEUE":  packet.Unknown, // a program decides
}

// goesOn lists targets after which every packet goes on to the next rule, and that
// change nothing that a match of this package matches on.
var goesOn = []string{
	"AUDIT", "CHECKSUM", "CLASSIFY", "CONNSECMARK", "DSCP", "ECN", "HL", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST",
	"SECMARK", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TRACE", "TTL", "ULOG",
}

// marks lists targets that also go on, but change the packet's mark for later rules.
var marks = []string{"MARK", "HMARK"}

func init() {
	pass := func(changes ...Thing) func(*Use) Effect {
		return func(*Use) Effect { return Effect{Changes: changes} }
	}
	for _, name := range goesOn {
		withEffect(name, pass())
	}
	for _, name := range marks {
		withEffect(name, pass(MarkThing))
	}
	// CONNMARK can copy its mark to the packet.
	withEffect("CONNMARK", pass(MarkThing, ConnmarkThing))
	withEffect("SET", setEffect)
}

// tables lists the tables in which the kernel accepts a module; other modules are
// accepted in all tables.
var tables = map[string][]string{
	"REJECT": {"filter"}, "DNAT": {"nat"}, "SNAT": {"nat"}, "MASQUERADE": {"nat"}, "REDIRECT": {"nat"}, "NETMAP": {"nat"},
	"CT": {"raw"}, "NOTRACK": {"raw"}, "TPROXY": {"mangle"}, "CHECKSUM": {"mangle"}, "TTL": {"mangle"}, "HL": {"mangle"},
	"TOS": {"mangle"}, "DSCP": {"mangle"}, "ECN": {"mangle"}, "TCPOPTSTRIP": {"mangle"},
	"SNPT": {"mangle"}, "DNPT": {"mangle"}, "SECMARK": {"mangle", "security"}, "CONNSECMARK": {"mangle", "security"},
	"rpfilter": {"mangle", "raw"},
}

// Tables returns the tables in which the kernel accepts the module; nil for all.
func (m *Module) Tables() []string { return tables[m.Name] }

// keptLog returns the level, the prefix and the flags of LOG.
func keptLog(_ packet.Family, u *Use) (string, bool) {
	level, prefix := "4", ""
	var flags []string
	for _, g := range u.Options {
		switch g.Name {
		case "--log-level":
			level = keptLevel(g.Values[0])
		case "--log-prefix":
			prefix = g.Values[0][:min(len(g.Values[0]), 29)]
		default:
			flags = append(flags, g.Name)
		}
	}
	slices.Sort(flags)
	return fmt.Sprintf("%s %q %v", level, prefix, flags), true
}

// keptMark returns the value and the mask that all options of MARK are reduced to.
func keptMark(_ packet.Family, u *Use) (string, bool) {
	if len(u.Options) != 1 {
		return "", false
	}
	value, mask, ok := markChange(u.Options[0])
	return fmt.Sprintf("%d/%d", value, mask), ok
}

// markChange returns an option of MARK as the bits to clear (mask) and the bits to
// flip after that (value) (libxt_MARK.c, mark_tg_parse).
func markChange(g Given) (value, mask uint32, ok bool) {
	value, mask, ok = markMask(g.Values[0])
	switch g.Name {
	case "--set-mark":
		mask |= value
	case "--and-mark":
		value, mask = 0, ^value
	case "--or-mark":
		mask = value
	case "--xor-mark":
		mask = 0
	}
	return value, mask, ok
}

// setEffect is for SET, which adds to sets, or deletes from them.
func setEffect(u *Use) Effect {
	var e Effect
	for _, g := range u.Options {
		if (g.Name == "--add-set" || g.Name == "--del-set") && len(g.Values) > 0 {
			e.Changes = append(e.Changes, SetThing(g.Values[0]))
		}
	}
	if len(e.Changes) == 0 && u.Option("--map-set") == nil {
		return Effect{Verdict: packet.Unknown}
	}
	if u.Option("--map-set") != nil { // a set can hold marks for packets
		e.Changes = append(e.Changes, MarkThing)
	}
	return e
}
