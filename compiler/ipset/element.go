package ipset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// element is the first word of an entry: an address, a CIDR or, of IPv4 alone, a
// range.
type element struct {
	address netip.Addr
	bits    int
	ranged  bool
	lo, hi  uint32 // of IPv4: both the address, or the ends of the range
}

// parseElement reads an element of a hash:net or hash:ip (libipset, parse_ipaddr).
func parseElement(text, kind string, family packet.Family) (element, error) {
	e := element{bits: family.Bits()}
	if separator(text, ",") >= 0 {
		return e, fmt.Errorf("%q has more than one part; a %s takes one", text, kind)
	}
	if family == packet.IPv6 {
		if err := check6(text, kind); err != nil {
			return e, err
		}
	}
	first, second := text, ""
	if i := separator(text, "/"); i >= 0 {
		n, err := number(text[i+1:], uint64(family.Bits()))
		if err != nil {
			return e, err
		}
		first, e.bits = text[:i], int(n)
	} else if i, err := dash(text); err != nil {
		return e, err
	} else if i >= 0 {
		first, second, e.ranged = text[:i], text[i+1:], true
	}
	var err error
	if e.address, err = parseHost(first, family); err != nil {
		return e, err
	}
	to := e.address
	if e.ranged {
		if to, err = parseHost(second, family); err != nil {
			return e, err
		}
	}
	if family == packet.IPv4 {
		e.lo = min(value4(e.address), value4(to))
		e.hi = max(value4(e.address), value4(to))
	}
	return e, nil
}

// check6 refuses the ranges of IPv6 that a hash:net would take for IPv4, and the
// CIDRs that a hash:ip would.
func check6(text, kind string) error {
	tail := text
	if strings.HasPrefix(text, "[") {
		_, after, _ := strings.Cut(text, "]")
		tail = "]" + after
	}
	if separator(tail, "-") >= 0 {
		return fmt.Errorf("%q is a range; there are none of IPv6", text)
	}
	if i := separator(text, "/"); i >= 0 && kind == hashIP && text[i:] != "/128" {
		return fmt.Errorf("%q is a CIDR; a hash:ip of IPv6 takes addresses", text)
	}
	return nil
}

// separator is where a separator stands in a text, -1 when it is not there or
// the text starts or ends with one (libipset, ipset_strchr).
func separator(text, sep string) int {
	if strings.HasPrefix(text, sep) || strings.HasSuffix(text, sep) {
		return -1
	}
	return strings.Index(text, sep)
}

// dash is where the dash of a range stands, -1 when the text is not a range. An
// end in brackets may hold dashes.
func dash(text string) (int, error) {
	if !strings.HasPrefix(text, "[") {
		return separator(text, "-"), nil
	}
	end := strings.Index(text, "]")
	switch {
	case end < 0:
		return -1, fmt.Errorf("%q has a bracket that is not closed", text)
	case end+1 == len(text):
		return -1, nil
	case text[end+1] != '-':
		return -1, fmt.Errorf("%q needs a dash after the bracket", text)
	}
	return end + 1, nil
}

// parseHost reads an address, in brackets or not, as glibc's gethostbyname2
// reads those it need not look up. An IPv4 address is made of digits and dots
// alone, has one to four parts, and a part that starts with 0 is octal.
func parseHost(text string, family packet.Family) (netip.Addr, error) {
	inner, ok := text, true
	if strings.HasPrefix(text, "[") {
		if inner, ok = strings.CutSuffix(text[1:], "]"); !ok || text == "[" {
			return netip.Addr{}, fmt.Errorf("%q has a bracket that is not closed", text)
		}
	}
	if family == packet.IPv4 {
		if a, ok := inetAton(inner); ok {
			return addr4(a), nil
		}
	} else if a, err := netip.ParseAddr(inner); err == nil && a.Is6() && a.Zone() == "" {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("%q is not an address of %s; a name would be looked up when the file is loaded, and mean another thing each time", text, family)
}

// inetAton is inet_aton(3) for texts of digits and dots.
func inetAton(text string) (uint32, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return 0, false
	}
	var address uint64
	for i, part := range parts {
		base := 10
		if strings.HasPrefix(part, "0") {
			base = 8
		}
		v, err := strconv.ParseUint(part, base, 32)
		room := 8
		if i == len(parts)-1 {
			room = 8 * (5 - len(parts))
		}
		if err != nil || v>>room != 0 {
			return 0, false
		}
		address = address<<room | v
	}
	return uint32(address), true
}

// parse4 reads an IPv4 address or CIDR in its usual form, without a string, and
// leaves every other text, also every wrong one, to parseElement. Host bits may
// be set.
func parse4(text []byte) (address uint32, length int, ok bool) {
	i := 0
	part := func(most int) (int, bool) {
		n, start := 0, i
		for i < len(text) && text[i] >= '0' && text[i] <= '9' && i-start < 3 {
			n = n*10 + int(text[i]-'0')
			i++
		}
		return n, i > start && n <= most && (i-start == 1 || text[start] != '0')
	}
	for k := range 4 {
		if k > 0 {
			if i == len(text) || text[i] != '.' {
				return 0, 0, false
			}
			i++
		}
		n, ok := part(255)
		if !ok {
			return 0, 0, false
		}
		address = address<<8 | uint32(n)
	}
	if i == len(text) {
		return address, 32, true
	}
	if text[i] != '/' {
		return 0, 0, false
	}
	i++
	length, ok = part(32)
	return address, length, ok && i == len(text)
}

func addr4(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

func value4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// largest is the largest CIDR that starts at lo and ends no later than hi, and
// its last address.
func largest(lo, hi uint32) (length int, last uint32) {
	for length = 32 - bits.TrailingZeros32(lo); length < 32; length++ {
		if last = lo | (1<<(32-length) - 1); last <= hi {
			return length, last
		}
	}
	return 32, lo
}

// piece is the CIDR that the kernel takes from the front of a range, and its last
// address. It is the largest that fits, but the kernel compares as it does with
// sequence numbers: where the range goes on for more than half of all addresses
// after the CIDR, the CIDR seems to end after the range (pfxlen.c,
// ip_set_range_to_cidr).
func piece(lo, hi uint32) (length int, last uint32) {
	for length = max(1, 32-bits.TrailingZeros32(lo)); length < 32; length++ {
		last = lo | (1<<(32-length) - 1)
		if int32(hi-last) >= 0 {
			return length, last
		}
	}
	return 32, lo
}

// number reads a number as strtoull(3) does with base 0: blanks and a sign may
// stand before it, 0x makes it hexadecimal, 0 octal, and a negative one counts
// from 2^64 down.
func number(text string, most uint64) (uint64, error) {
	digits := strings.TrimLeft(text, " \t\n\v\f\r")
	negative := strings.HasPrefix(digits, "-")
	if negative || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	base := 10
	switch lower := strings.ToLower(digits); {
	case strings.HasPrefix(lower, "0x"):
		digits, base = digits[2:], 16
	case strings.HasPrefix(digits, "0"):
		base = 8
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if negative {
		n = -n
	}
	if err != nil || n > most {
		return 0, fmt.Errorf("%q is out of the range 0 to %d", text, most)
	}
	return n, nil
}
