package schema

import (
	"encoding/binary"
	"net/netip"

	"github.com/hashicorp/hcl/v2"
)

// spanOf4 returns the span of an IPv4 CIDR; false when it has host bits.
func spanOf4(octets [4]byte, bits int) (Span, bool) {
	first := binary.BigEndian.Uint32(octets[:])
	host := uint32(uint64(1)<<(32-bits) - 1)
	if first&host != 0 {
		return Span{}, false
	}
	var last [4]byte
	binary.BigEndian.PutUint32(last[:], first|host)
	return Span{First: netip.AddrFrom4(octets), Last: netip.AddrFrom4(last)}, true
}

// lineRange returns the range of an entry within a line of a list file.
func lineRange(path string, line, offset, start, length int) hcl.Range {
	return hcl.Range{Filename: path,
		Start: hcl.Pos{Line: line, Column: start - offset + 1, Byte: start},
		End:   hcl.Pos{Line: line, Column: start - offset + 1 + length, Byte: start + length}}
}
