package iptables

import (
	"net/netip"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// addressMask is one address of -s or -d, with its netmask.
type addressMask struct {
	prefix        netip.Prefix // invalid when the mask has holes
	address, mask netip.Addr
}

// addresses parses the value of -s or -d: comma-separated addresses, each with
// an optional length or netmask. Host bits are cleared, as iptables does
// (NETFILTER.md section 4).
func addresses(f packet.Family, value string) ([]addressMask, error) {
	var list []addressMask
	for _, one := range strings.Split(value, ",") {
		a, err := parseAddress(f, strings.TrimLeft(one, " \t\n\v\f\r"))
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func parseAddress(f packet.Family, text string) (addressMask, error) {
	address, mask := text, ""
	i := strings.LastIndexByte(text, '/')
	if i >= 0 {
		address, mask = text[:i], text[i+1:]
	}
	m, ok := netmask(f, mask, i >= 0)
	if !ok {
		return addressMask{}, refused("%q is not an %v address with a valid mask", text, f)
	}
	bits, contiguous := match.MaskLength(m)
	if contiguous && bits == 0 { // the address does not matter then
		return addressMask{prefix: netip.PrefixFrom(zero(f), 0)}, nil
	}
	a, ok := match.Address(f, address)
	if !ok { // iptables would look up a host of that name
		a, ok = match.HostAddress(f, address)
	}
	if !ok {
		return addressMask{}, notAnAddress(f, address)
	}
	if !contiguous {
		return addressMask{address: under(a, m), mask: m}, nil
	}
	return addressMask{prefix: netip.PrefixFrom(a, bits).Masked()}, nil
}

// under clears the bits of an address outside a mask, which iptables does not keep.
func under(a, mask netip.Addr) netip.Addr {
	b, m := a.AsSlice(), mask.AsSlice()
	for i := range b {
		b[i] &= m[i]
	}
	masked, _ := netip.AddrFromSlice(b)
	return masked
}

func notAnAddress(f packet.Family, text string) error {
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() != (f == packet.IPv4) {
		return refused("%s is not an %v address", text, f)
	}
	return refused("%q is not an address; a host name would be looked up each time the file is loaded, and could resolve to a different address", text)
}

func zero(f packet.Family) netip.Addr {
	if f == packet.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// netmask parses a length or a mask; without one, the mask covers the whole address.
func netmask(f packet.Family, text string, given bool) (netip.Addr, bool) {
	bits := uint64(f.Bits())
	if given {
		// A dotted mask has all four numbers, otherwise it is a length.
		if f == packet.IPv6 || strings.Count(text, ".") == 3 {
			if m, ok := match.Address(f, text); ok {
				return m, true
			}
		}
		var ok bool
		if bits, ok = match.WholeNumber(text, 0, bits); !ok {
			return netip.Addr{}, false
		}
	}
	b := make([]byte, f.Bits()/8)
	for i := range int(bits) {
		b[i/8] |= 0x80 >> (i % 8)
	}
	m, _ := netip.AddrFromSlice(b)
	return m, true
}
