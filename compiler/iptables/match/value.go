package match

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Value is the form of an option's value. Each except Own is a form of libxtables
// (xtoptions.c, XTTYPE_*).
type Value int

// The forms.
const (
	None Value = iota
	Uint8
	Uint16
	Uint32
	Uint64
	Uint8Range // a:b, like all ranges
	Uint16Range
	Uint32Range
	Uint64Range
	Double
	String // Min and Max are bounds of its length
	Line   // a String without a newline
	TOSMask
	MarkMask
	SyslogLevel
	Host
	HostMask
	Protocol
	Port
	PortRange
	PrefixLength
	PrefixMask
	EtherMAC
	Own // parsed by the module's own code
)

// Number parses a number as libxtables does (xtables_strtoul, base 0): decimal,
// octal with a leading 0, or hexadecimal with 0x; blanks and a plus sign may come
// before it. rest is what follows the digits.
func Number(text string) (n uint64, rest string, ok bool) {
	s := strings.TrimLeft(text, " \t\n\v\f\r")
	s = strings.TrimPrefix(s, "+")
	base := 10
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") && isDigit(s[2], 16):
		base, s = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	end := 0
	for end < len(s) && isDigit(s[end], base) {
		end++
	}
	n, err := strconv.ParseUint(s[:end], base, 64)
	return n, s[end:], err == nil
}

func isDigit(c byte, base int) bool {
	switch {
	case base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'):
		return true
	case base == 8:
		return c >= '0' && c <= '7'
	}
	return c >= '0' && c <= '9'
}

// WholeNumber is Number for a text that contains nothing else, within bounds.
func WholeNumber(text string, least, most uint64) (uint64, bool) {
	n, rest, ok := Number(text)
	return n, ok && rest == "" && n >= least && n <= most
}

// bits is the size of each form of a number.
var bits = map[Value]int{Uint8: 8, Uint8Range: 8, Uint16: 16, Uint16Range: 16, Uint32: 32, Uint32Range: 32, Uint64: 64, Uint64Range: 64}

// valid reports whether iptables accepts the values of an option, as far as that
// depends on its form.
func (o *Option) valid(f packet.Family, values []string) bool {
	if o.Value == None || len(values) == 0 {
		return true
	}
	return o.validForm(f, values) && (o.Valid == nil || o.Valid(f, values))
}

func (o *Option) validForm(f packet.Family, values []string) bool {
	text := values[0]
	switch o.Value {
	case Uint8, Uint16, Uint32, Uint64:
		_, ok := WholeNumber(text, o.Min, o.most())
		return ok
	case Uint8Range, Uint16Range, Uint32Range, Uint64Range:
		return validRange(text, uint64(math.MaxUint64)>>(64-bits[o.Value]))
	case Double:
		x, err := strconv.ParseFloat(text, 64)
		return err == nil && x >= float64(o.Min) && (o.Max == 0 || x <= float64(o.Max))
	case Line:
		return !strings.Contains(text, "\n") && uint64(len(text)) >= o.Min
	case String:
		return uint64(len(text)) >= o.Min && (o.Max == 0 || uint64(len(text)) <= o.Max)
	case MarkMask:
		_, _, ok := markMask(text)
		return ok
	case SyslogLevel:
		return validLevel(text)
	case Host:
		return validHost(f, text)
	case HostMask:
		address, length, slash := strings.Cut(text, "/")
		_, mask := HostAddress(f, length)
		return validHost(f, address) && (!slash || mask || validLength(f, length))
	case Protocol:
		_, ok := packet.ParseProtocolExactly(text)
		return ok
	case PrefixLength:
		return validLength(f, text)
	case PrefixMask:
		_, number := WholeNumber(text, 0, math.MaxUint32) // too large a number is clamped
		_, mask := Address(f, text)
		return number || mask
	case TOSMask:
		return validTOS(f, values)
	case EtherMAC:
		return validMAC(text)
	}
	return true // Port, PortRange: the port may be given by name
}

func (o *Option) most() uint64 {
	if o.Max != 0 {
		return o.Max
	}
	return uint64(math.MaxUint64) >> (64 - bits[o.Value])
}

// validRange reports whether a text is one or two numbers (xtopt_parse_mint).
func validRange(text string, most uint64) bool {
	parts := strings.Split(text, ":")
	if len(parts) > 2 {
		return false
	}
	for _, p := range parts {
		if _, ok := WholeNumber(p, 0, most); !ok && p != "" {
			return false
		}
	}
	return true
}

// validHost reports whether a text is an address. A host name is not accepted here:
// it would be looked up each time the file is loaded, and could resolve to a
// different address.
func validHost(f packet.Family, text string) bool {
	_, ok := HostAddress(f, text)
	return ok
}

// HostAddress parses an address as getaddrinfo does: for IPv4 also in the forms of
// inet_aton, whose last number fills the remaining bytes ("10.1" is 10.0.0.1, but
// 10.1.0.0 for -s).
func HostAddress(f packet.Family, text string) (netip.Addr, bool) {
	if f == packet.IPv6 {
		return Address(f, text)
	}
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, part := range parts {
		most := uint64(255)
		if i == len(parts)-1 {
			most = 1<<(8*(4-i)) - 1
		}
		if part == "" || !isDigit(part[0], 10) {
			return netip.Addr{}, false
		}
		n, ok := WholeNumber(part, 0, most)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
		for k := 3; i == len(parts)-1 && k >= i; k-- {
			b[k] = byte(n)
			n >>= 8
		}
	}
	return netip.AddrFrom4(b), true
}

func validLength(f packet.Family, text string) bool {
	_, ok := WholeNumber(text, 0, uint64(f.Bits()))
	return ok
}

// markMask parses MARK or MARK/MASK (xtables_parse_mark_mask).
func markMask(text string) (mark, mask uint32, ok bool) {
	n, rest, ok := Number(text)
	if !ok || n > math.MaxUint32 {
		return 0, 0, false
	}
	mask = math.MaxUint32
	if length, slash := strings.CutPrefix(rest, "/"); slash {
		m, rest, ok := Number(length)
		if !ok || m > math.MaxUint32 || rest != "" {
			return 0, 0, false
		}
		return uint32(n), uint32(m), true
	}
	return uint32(n), mask, rest == ""
}

// validLevel reports whether a text is a syslog level (xtopt_parse_sysloglevel).
func validLevel(text string) bool {
	switch text {
	case "alert", "crit", "debug", "emerg", "error", "info", "notice", "panic", "warning":
		return true
	}
	_, ok := WholeNumber(text, 0, 7)
	return ok
}

// keptLevel returns the number of a syslog level.
func keptLevel(text string) string {
	switch text {
	case "emerg", "panic":
		return "0"
	case "alert":
		return "1"
	case "crit":
		return "2"
	case "error":
		return "3"
	case "warning":
		return "4"
	case "notice":
		return "5"
	case "info":
		return "6"
	case "debug":
		return "7"
	}
	n, _ := WholeNumber(text, 0, 7)
	return strconv.Itoa(int(n))
}

func validMAC(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 6 {
		return false
	}
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 16, 8); err != nil || len(p) > 2 {
			return false
		}
	}
	return true
}

// word returns the full word that a prefix stands for, as strncasecmp does where
// modules parse states and types: the first that begins with it in any case.
func word(text string, words ...string) (string, bool) {
	for _, w := range words {
		if len(text) > 0 && len(text) <= len(w) && strings.EqualFold(w[:len(text)], text) {
			return w, true
		}
	}
	return "", false
}

// Address parses an address as libxtables does (xtables_numeric_to_ipaddr). IPv4: up
// to four numbers, decimal, octal or hexadecimal; missing ones at the end are zero.
// IPv6: whatever inet_pton accepts.
func Address(f packet.Family, text string) (netip.Addr, bool) {
	if f == packet.IPv6 {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4() {
			return netip.Addr{}, false
		}
		return netip.AddrFrom16(a.As16()), true
	}
	var b [4]byte
	parts := strings.SplitN(text, ".", 4)
	if len(text) > 19 {
		return netip.Addr{}, false
	}
	for i, part := range parts {
		n, ok := WholeNumber(part, 0, 255)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// FreeText reports whether iptables-save decides by the characters of an option's
// value whether to quote it, because it is text that a person wrote.
func FreeText(option string) bool {
	switch option {
	case "--comment", "--log-prefix", "--nflog-prefix":
		return true
	}
	return false
}

// MaskLength returns the length of a netmask, and whether it is contiguous.
func MaskLength(mask netip.Addr) (bits int, contiguous bool) {
	contiguous = true
	ended := false
	for _, b := range mask.AsSlice() {
		for i := range 8 {
			if set := b&(0x80>>i) != 0; set && ended {
				return 0, false
			} else if set {
				bits++
			} else {
				ended = true
			}
		}
	}
	return bits, contiguous
}
