package match

import (
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/diagram"
	"github.com/seawall/seawall/compiler/packet"
)

// portOptions returns the options that every protocol with ports has.
func portOptions(form Value, valid func(packet.Family, []string) bool, portWord func(string) (int, bool, bool)) []Option {
	kept := keptPorts(portWord)
	return []Option{
		{Name: "sport", Value: form, Not: true, Valid: valid, Kept: kept, Absent: everyPort},
		{Name: "source-port", Same: "sport", Value: form, Not: true, Valid: valid},
		{Name: "dport", Value: form, Not: true, Valid: valid, Kept: kept, Absent: everyPort},
		{Name: "destination-port", Same: "dport", Value: form, Not: true, Valid: valid},
	}
}

// portWord parses one port. A name is accepted as one from /etc/services, but its
// number is not known, because it differs from host to host.
func portWord(text string) (n int, known, ok bool) {
	if v, ok := WholeNumber(text, 0, 65535); ok {
		return int(v), true, true
	}
	return 0, false, looksLikeService(text)
}

// looksLikeService reports whether a text can be a name in /etc/services.
func looksLikeService(text string) bool {
	if len(text) > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X') {
		return false
	}
	letter := false
	for i := range len(text) {
		c := text[i] | 0x20
		switch {
		case c >= 'a' && c <= 'z':
			letter = true
		case text[i] >= '0' && text[i] <= '9', text[i] == '-', text[i] == '_', text[i] == '.', text[i] == '+':
		default:
			return false
		}
	}
	return letter && text[0] != '-'
}

// decimalPort parses one port as udp, dccp and conntrack do: with getaddrinfo, which
// accepts only decimal numbers. It reduces numbers above 65535 modulo 65536; such a
// port is treated as unknown.
func decimalPort(text string) (n int, known, ok bool) {
	digits := strings.TrimPrefix(text, "+")
	if digits != "" && strings.Trim(digits, "0123456789") == "" {
		v, err := strconv.ParseUint(digits, 10, 16)
		return int(v), err == nil, true
	}
	return 0, false, text == "" || looksLikeService(text)
}

// portPair parses PORT or PORT:PORT, where either side may be empty.
func portPair(text string, portWord func(string) (int, bool, bool)) (first, last int, known, ok bool) {
	a, b, isRange := strings.Cut(text, ":")
	if !isRange {
		first, known, ok = portWord(a)
		return first, first, known, ok
	}
	last, known = 65535, true
	if a != "" {
		if first, known, ok = portWord(a); !ok {
			return 0, 0, false, false
		}
	}
	if b != "" {
		var knownToo bool
		if last, knownToo, ok = portWord(b); !ok {
			return 0, 0, false, false
		}
		known = known && knownToo
	}
	return first, last, known, true
}

// keptPortOptions returns what the kernel keeps of the ports of a use.
func keptPortOptions(f packet.Family, u *Use) (text string, known bool) {
	known = true
	for i := range u.Module.Options {
		if o := &u.Module.Options[i]; o.Name == "sport" || o.Name == "dport" {
			one, ok := u.keptOption(f, o)
			text, known = text+" "+one, known && ok
		}
	}
	return text, known
}

// ordered accepts PORT[:PORT] in order, as tcp and sctp do; the others also accept a
// reversed range.
func ordered(_ packet.Family, values []string) bool {
	first, last, known, ok := portPair(values[0], portWord)
	return ok && (!known || first <= last)
}

func anyOrder(_ packet.Family, values []string) bool {
	_, _, _, ok := portPair(values[0], decimalPort)
	return ok
}

// ports returns the ports of PORT[:PORT], and whether they are known. Those of a
// reversed range are not: the back ends treat it differently.
func ports(text string, portWord func(string) (int, bool, bool)) (diagram.Set, bool) {
	first, last, known, ok := portPair(text, portWord)
	if !ok || !known || first > last {
		return nil, false
	}
	return diagram.Range(first, last), true
}

// portOption adds one of portOptions to a box, and reports whether it could.
func portOption(r *Reader, b *diagram.Box, g Given, portWord func(string) (int, bool, bool)) bool {
	p := packet.SourcePort
	if g.Name == "--dport" {
		p = packet.DestPort
	}
	s, ok := ports(g.Values[0], portWord)
	ok = ok && !(g.Not && isEvery(s, 65535)) // the back ends treat that differently
	if ok {
		b[p] = b[p].Intersect(r.Not(g.Not, p, s))
	}
	return ok
}

// portsOrUnsure returns the meaning of a protocol's module whose other options
// cannot be evaluated.
func portsOrUnsure(portWord func(string) (int, bool, bool)) func(*Reader, *Use) Cases {
	return func(r *Reader, u *Use) Cases {
		var b diagram.Box
		unsure := ""
		for _, g := range u.Options {
			if g.Name != "--sport" && g.Name != "--dport" || !portOption(r, &b, g, portWord) {
				unsure = either(unsure, u.String())
			}
		}
		if b.Empty() {
			return Never
		}
		return Cases{{b, unsure}}
	}
}

// isEvery reports whether a set contains all values up to a maximum.
func isEvery(s diagram.Set, most int) bool {
	return len(s) == 1 && s[0] == (diagram.Span{Hi: diagram.Small(most)})
}
