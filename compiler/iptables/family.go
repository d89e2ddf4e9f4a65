package iptables

import (
	"fmt"
	"path"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// AmbiguousError is the error for a file that both families could load, and whose
// name does not say which one it is for.
type AmbiguousError struct{ Name string }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s could be for IPv4 or for IPv6: nothing in it belongs to one of them. Say --family 4 or --family 6", e.Name)
}

// Read parses a file whose family may be unknown (0). It is the one that can
// load the file; where both can, what the file's name says. Comments and free
// texts say nothing: they hold what people wrote. The error is an *Error, or an
// *AmbiguousError.
func Read(name string, src []byte, opt Options) (*File, error) {
	if opt.Family != 0 {
		return Parse(src, opt)
	}
	line4, four := readable(src, packet.IPv4)
	line6, six := readable(src, packet.IPv6)
	named := familyOfName(name)
	switch {
	case four && six:
		opt.Family = named
	case four, !six && line4 > line6:
		opt.Family = packet.IPv4
	case six, line6 > line4:
		opt.Family = packet.IPv6
	default: // the same line is wrong in both
		opt.Family = named
		if named == 0 {
			opt.Family = packet.IPv4
		}
	}
	if opt.Family == 0 {
		return nil, &AmbiguousError{name}
	}
	return Parse(src, opt)
}

// familyOfName is what the name of a file says: those that distributions and
// ufw load, and those that end in a family.
func familyOfName(name string) packet.Family {
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, "\\", "/")))
	switch {
	case strings.HasPrefix(base, "ip6tables"), strings.HasSuffix(base, "6.rules"), base == "rules6-save",
		strings.HasSuffix(base, "v6"), strings.HasSuffix(base, ".ip6tables-save"):
		return packet.IPv6
	case strings.HasPrefix(base, "iptables"), base == "after.rules", base == "before.rules", base == "user.rules", base == "rules-save",
		strings.HasSuffix(base, "v4"), strings.HasSuffix(base, ".iptables-save"):
		return packet.IPv4
	}
	return 0
}
