package schema

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
)

// What people who come from iptables, Docker or another language write, and the form
// that they meant. A hint is a sentence that follows the error; "" for none.

// reference is a name of the language in quotes.
var reference = regexp.MustCompile(`^(set|var|local|each)\.[A-Za-z0-9_.-]+$`)

// sourceHint suggests the source that a text may have meant.
func sourceHint(text string) string {
	trimmed := strings.TrimFunc(text, unicode.IsSpace)
	switch {
	case trimmed != text && readable(trimmed):
		return fmt.Sprintf(" Write %q, without the spaces.", trimmed)
	case reference.MatchString(text):
		return fmt.Sprintf(" Write it without quotes: %s.", text)
	case strings.HasPrefix(text, "!"):
		return " There is no negation; write the sources that a block must not match under except."
	case strings.Contains(text, ",") && readable(strings.TrimSpace(strings.Split(text, ",")[0])):
		return " Write a list, with each source in its own quotes."
	}
	switch strings.ToLower(text) {
	case "any", "all", "*", "everybody":
		return " For everybody write any, without quotes."
	}
	if inner := strings.Trim(text, "[]"); inner != text && readable(inner) {
		return fmt.Sprintf(" Write it without brackets: %q.", inner)
	}
	if list := strings.Fields(text); len(list) > 1 && readable(list[0]) {
		return " Write a list, with each source in its own quotes."
	}
	if address, ok := strings.CutSuffix(text, "/"); ok && readable(address) {
		return fmt.Sprintf(" Write %q, or a prefix length after the slash.", address)
	}
	if listName.MatchString(text) {
		return fmt.Sprintf(" To read sources from a file, use a set: files = [%q].", text)
	}
	if whole := withoutZeros(text); whole != text && readable(whole) {
		return fmt.Sprintf(" A number with a leading zero can be read as octal. Write %q.", whole)
	}
	if prefix := starred(text); prefix != "" {
		return fmt.Sprintf(" Write the network as a CIDR: %q.", prefix)
	}
	if prefix := masked(text); prefix != "" {
		return fmt.Sprintf(" Write the prefix length instead of a mask: %q.", prefix)
	}
	if hostName.MatchString(text) {
		return namesHint
	}
	return ""
}

const namesHint = " Names are not looked up, because their addresses can change after the file is generated. Write the addresses."

// hostName is a name with at least one dot and a letter in its last part.
var hostName = regexp.MustCompile(`^([A-Za-z0-9_-]+\.)+[A-Za-z][A-Za-z0-9-]*\.?$`)

// listName is a name that a list file may have.
var listName = regexp.MustCompile(`\.(txt|lst|list|cidr|zone|netset|ipset|csv)$`)

// readable reports whether a text is a source.
func readable(text string) bool {
	_, problem := parseSpanOnly(text)
	return problem == nil
}

var leadingZeros = regexp.MustCompile(`(^|[.-])0+([0-9])`)

// withoutZeros returns an IPv4 address or CIDR without leading zeros.
func withoutZeros(text string) string {
	address, rest, _ := strings.Cut(text, "/")
	if strings.Contains(address, ":") {
		return text
	}
	for {
		shorter := leadingZeros.ReplaceAllString(address, "$1$2")
		if shorter == address {
			break
		}
		address = shorter
	}
	if rest != "" {
		return address + "/" + rest
	}
	return address
}

// starred returns the CIDR for 10.1.*.*, 10.1.* or 10.1., and for the first numbers only.
func starred(text string) string {
	parts := strings.Split(strings.TrimSuffix(text, "."), ".")
	for len(parts) > 0 && parts[len(parts)-1] == "*" {
		parts = parts[:len(parts)-1]
	}
	const octets, bits = 4, 8
	if len(parts) == 0 || len(parts) >= octets || strings.Contains(text, ":") {
		return ""
	}
	given := len(parts)
	for len(parts) < octets {
		parts = append(parts, "0")
	}
	a, err := netip.ParseAddr(strings.Join(parts, "."))
	if err != nil {
		return ""
	}
	return netip.PrefixFrom(a, given*bits).String()
}

// masked returns the CIDR for an address with a netmask.
func masked(text string) string {
	address, mask, ok := strings.Cut(text, "/")
	a, err := netip.ParseAddr(address)
	m := net.ParseIP(mask).To4()
	if !ok || err != nil || !a.Is4() || m == nil {
		return ""
	}
	ones, size := net.IPMask(m).Size()
	if size == 0 {
		return ""
	}
	return netip.PrefixFrom(a, ones).Masked().String()
}

// portHint suggests the port that a text may have meant.
func portHint(text string) string {
	proto, number, slash := strings.Cut(text, "/")
	if slash && protocols[proto] {
		if _, err := strconv.Atoi(number); err == nil {
			return fmt.Sprintf(" The port comes first: %q.", number+"/"+proto)
		}
	}
	if first, last, colon := strings.Cut(text, ":"); colon {
		_, errB := strconv.Atoi(last)
		if a, errA := strconv.Atoi(first); errA == nil && errB == nil {
			if z, _ := strconv.Atoi(last); a < z {
				return fmt.Sprintf(" A range is written with \"-\": %q. Of a mapping, write only the published port: %q.", first+"-"+last, first)
			}
			return fmt.Sprintf(" Of a mapping, write only the published port: %q.", first)
		}
		if _, err := netip.ParseAddr(first); err == nil && errB == nil {
			return fmt.Sprintf(" Write the port, %q, and the address under address.", last)
		}
	}
	if plain := strings.TrimLeft(text, "+0 "); plain != text {
		if _, problem := parsePortText(plain); problem == nil {
			return fmt.Sprintf(" Write %q.", plain)
		}
	}
	return ""
}

var protocols = map[string]bool{"tcp": true, "udp": true, "sctp": true}

// protocolHint explains what is wrong with a protocol that has no ports.
func protocolHint(name string) string {
	switch name {
	case "icmp", "icmpv6", "ipv6-icmp", "esp", "ah", "gre", "ip", "all":
		return " It has no ports, and Docker does not publish it."
	}
	if lower := strings.ToLower(name); lower != name && protocols[lower] {
		return fmt.Sprintf(" Write it in lower case: %q.", lower)
	}
	if strings.ContainsAny(name, ",/+") {
		return " Write one entry for each protocol."
	}
	return didYouMean(name, []string{"tcp", "udp", "sctp"})
}

// nameHint suggests what a word without quotes may have meant.
func (s *scope) nameHint(root string) string {
	switch strings.ToLower(root) {
	case "any", "all", "everybody":
		return " For everybody write any."
	}
	switch root {
	case "deny", "reject", "allow", "check", "keep", "tcp", "udp", "sctp", "true", "false":
		return fmt.Sprintf(" Write %q, in quotes.", root)
	}
	for kind, names := range map[string][]string{"set": keys(s.sets), "local": keys(s.locals), "var": keys(s.vars)} {
		if contains(names, root) {
			return fmt.Sprintf(" Did you mean %s.%s?", kind, root)
		}
	}
	return didYouMean(root, []string{"any", "set", "var", "local"})
}

// unknownName is the error for a name that does not exist.
func (s *scope) unknownName(root string, at hcl.Range) *hcl.Diagnostic {
	return mistake(at, "Unknown variable", "There is no variable named %q.%s", root, s.nameHint(root))
}

// unquoted is an address or a CIDR that is not in quotes.
var unquoted = regexp.MustCompile(`(?:^|[\s=,\[])(\d+\.\d+\.\d+(?:\.\d+)?(?:/\d+)?|[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*(?:/\d+)?)`)

// yaml is a line that begins a mapping or a list of YAML.
var yaml = regexp.MustCompile(`(?m)^(?:---|[A-Za-z_][A-Za-z0-9_-]*:(?: .*)?|\s*- .*)$`)

// syntaxHints adds the form that was meant to what the parser says of a line.
func syntaxHints(diags hcl.Diagnostics, src []byte) hcl.Diagnostics {
	if len(diags) > 0 && yaml.Match(firstLine(src)) {
		d := *diags[0]
		d.Summary, d.Detail = "Not HCL", "This looks like YAML. A policy is written in HCL: host { external = [\"eth0\"] … }."
		return hcl.Diagnostics{&d}
	}
	for i, d := range diags {
		if d.Subject == nil {
			continue
		}
		m := unquoted.FindSubmatch(lineOf(src, d.Subject.Start.Byte))
		if m == nil {
			continue
		}
		hinted := *d
		hinted.Detail += fmt.Sprintf(" Write addresses and CIDRs in quotes: %q.", m[1])
		diags[i] = &hinted
	}
	return diags
}

// firstLine is the first line that is neither empty nor a comment.
func firstLine(src []byte) []byte {
	for line := range bytes.Lines(src) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' && !bytes.HasPrefix(trimmed, []byte("//")) {
			return bytes.TrimRight(line, "\r\n")
		}
	}
	return nil
}

// lineOf is the line that a byte is in.
func lineOf(src []byte, at int) []byte {
	at = min(max(at, 0), len(src))
	start := bytes.LastIndexByte(src[:at], '\n') + 1
	end := bytes.IndexByte(src[start:], '\n')
	if end < 0 {
		return src[start:]
	}
	return src[start : start+end]
}

// whatToWrite is what to write for an attribute that is required.
var whatToWrite = map[string]string{
	"external": `Write external = ["eth0"]: the interfaces on which traffic from outside arrives.`,
	"unlisted": `Write unlisted = "deny", "reject" or "allow": the verdict on traffic from outside that no policy names.`,
	"ports":    `Write ports = [443]: the published ports that the policy is about.`,
	"from":     `Write from = "lan0": the interface on which the traffic arrives.`,
	"to":       `Write to: where the traffic goes.`,
}

var (
	isRequired = regexp.MustCompile(`^The argument "(\w+)" is required`)
	needsLabel = regexp.MustCompile(`^All (\w+) blocks must have 1 labels`)
)

// contentHints says what to write for a part of a block that is missing.
func contentHints(diags hcl.Diagnostics) hcl.Diagnostics {
	for i, d := range diags {
		hinted := *d
		if m := isRequired.FindStringSubmatch(d.Detail); m != nil && whatToWrite[m[1]] != "" {
			hinted.Detail = fmt.Sprintf("The argument %q is required. %s", m[1], whatToWrite[m[1]])
		}
		if m := needsLabel.FindStringSubmatch(d.Detail); m != nil {
			hinted.Detail = fmt.Sprintf("A %s needs a name: %s \"web\" {", m[1], m[1])
		}
		diags[i] = &hinted
	}
	return diags
}
