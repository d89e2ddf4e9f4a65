package iptables

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// AmbiguousError is the error for a file that both families could load and whose
// name does not say which one it is for.
type AmbiguousError struct{ Name string }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s could be for IPv4 or IPv6: nothing in it is specific to either. Pass --family 4 or --family 6", e.Name)
}

// Read parses a file whose family may be unknown (0). The family is the one that
// can load the file, or, if both can, the one that the file's name suggests.
// Comments and free text are ignored, because people write them. The error is an
// *Error or an *AmbiguousError.
func Read(name string, src []byte, opt Options) (*File, error) {
	opt.NoFlush = opt.NoFlush || ufwLoads(name)
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
	default: // both families refuse the same line
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

// ufwLoads reports whether a file has the name of one that ufw loads, which it does
// with --noflush.
func ufwLoads(name string) bool {
	base, isRules := strings.CutSuffix(path.Base(strings.ReplaceAll(name, "\\", "/")), ".rules")
	return isRules && slices.Contains([]string{"before", "after", "user"}, strings.TrimSuffix(base, "6"))
}

// familyOfName returns the family that the name of a file suggests: names that
// distributions and ufw load, and names that end in a family.
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
