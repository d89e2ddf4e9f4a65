package match

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// The forms of values that modules parse with code of their own (x6_parse in
// extensions/lib*_NAME.c of iptables 1.8.9). They determine what is refused, and
// say nothing about packets. Where a name is allowed that only the host can look
// up (a service, a user), every name is accepted.

type validator = func(f packet.Family, values []string) bool

// exactly accepts one of the words.
func exactly(words ...string) validator {
	return func(_ packet.Family, values []string) bool {
		for _, w := range words {
			if values[0] == w {
				return true
			}
		}
		return false
	}
}

// folded accepts one of the words, in any case.
func folded(words ...string) validator {
	return func(_ packet.Family, values []string) bool {
		for _, w := range words {
			if strings.EqualFold(values[0], w) {
				return true
			}
		}
		return false
	}
}

// listOf accepts a list whose parts the validator accepts.
func listOf(separators string, part validator) validator {
	return func(f packet.Family, values []string) bool {
		rest := values[0]
		for {
			at := strings.IndexAny(rest, separators)
			if at < 0 {
				return part(f, []string{rest})
			}
			if !part(f, []string{rest[:at]}) {
				return false
			}
			rest = rest[at+1:]
		}
	}
}

// ascending accepts a range of numbers whose first is not above its second.
func ascending(_ packet.Family, values []string) bool {
	low, high, two := strings.Cut(values[0], ":")
	a, _, _ := Number(low)
	b, _, ok := Number(high)
	return !two || high == "" || !ok || a <= b
}

var unitSeconds = map[string]uint64{"second": 1, "minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}

// validRate accepts the rate of limit (libxt_limit.c, parse_rate): N or N/UNIT,
// above 0 and at most 10,000 per second. atoi reads N, so text after it is ignored.
func validRate(_ packet.Family, values []string) bool {
	number, unit, slash := strings.Cut(values[0], "/")
	mult := uint64(1)
	if slash {
		name, ok := word(unit, "second", "minute", "hour", "day")
		if !ok {
			return false
		}
		mult = unitSeconds[name]
	}
	n := leadingNumber(number)
	return n > 0 && n <= 10_000*mult
}

// keptLimit returns the time between two packets, in the kernel's units of
// 1/10,000 s (XT_LIMIT_SCALE), and the burst. Where the rate does not divide a
// second (minute, hour, day) evenly, nf_tables keeps something else.
func keptLimit(_ packet.Family, u *Use) (string, bool) {
	rate, burst := "3/hour", "5"
	if o := u.Option("--limit"); o != nil {
		rate = o.Values[0]
	}
	if o := u.Option("--limit-burst"); o != nil {
		burst = o.Values[0]
	}
	number, unit, slash := strings.Cut(rate, "/")
	scale := uint64(10_000)
	if slash {
		name, _ := word(unit, "second", "minute", "hour", "day")
		scale *= unitSeconds[name]
	}
	n := leadingNumber(number)
	packets, _, _ := Number(burst)
	if n == 0 || scale%n != 0 {
		return "", false
	}
	return fmt.Sprint(scale/n, " ", packets), true
}

// leadingNumber returns what atoi reads, or 0 if there is no positive number.
func leadingNumber(text string) uint64 {
	text = strings.TrimPrefix(strings.TrimLeft(text, " \t\n\v\f\r"), "+")
	end := 0
	for end < len(text) && isDigit(text[end], 10) {
		end++
	}
	n, err := strconv.ParseUint(text[:end], 10, 31)
	if err != nil {
		return 0
	}
	return n
}

// validHashRate accepts the rate of hashlimit (libxt_hashlimit.c, parse_rate and
// parse_bytes): as for limit, but up to 1,000,000 per second, or in bytes.
func validHashRate(_ packet.Family, values []string) bool {
	if bytes, ok := byteRate(values[0]); ok {
		return bytes <= 1<<32
	}
	number, unit, slash := strings.Cut(values[0], "/")
	mult := uint64(1)
	if slash {
		name, ok := word(unit, "second", "minute", "hour", "day")
		if !ok {
			return false
		}
		mult = unitSeconds[name]
	}
	n := leadingNumber(number)
	return n > 0 && n <= 1_000_000*mult
}

// byteRate parses a rate such as 512kb/s and returns it in bytes per second.
func byteRate(text string) (bytes uint64, ok bool) {
	at := strings.Index(text, "b/s")
	if at < 1 || leadingNumber(text) == 0 {
		return 0, false
	}
	return leadingNumber(text) * factor(text[at-1:]), true
}

// factor returns what the first byte of a unit stands for.
func factor(unit string) uint64 {
	switch {
	case strings.HasPrefix(unit, "m"):
		return 1 << 20
	case strings.HasPrefix(unit, "k"):
		return 1 << 10
	}
	return 1
}

const maxBurst = 1_000_000

// validBurst accepts the burst of hashlimit (parse_burst).
func validBurst(_ packet.Family, values []string) bool {
	n, unit, ok := Number(values[0])
	return ok && n > 0 && (unit != "" || n <= maxBurst)
}

// validProcName accepts a name that the kernel can create a file for (xt_check_proc_name).
func validProcName(_ packet.Family, values []string) bool {
	name := values[0]
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// validQueues accepts LOW:HIGH of NFQUEUE; all 65,536 queues are one too many for
// the kernel.
func validQueues(_ packet.Family, values []string) bool {
	low, high, two := strings.Cut(values[0], ":")
	a, _, _ := Number(low)
	b := uint64(65535)
	if high != "" {
		b, _, _ = Number(high)
	}
	return two && a < b && b-a < 65535
}

// validOwners accepts a name, or ID[-ID] in ascending order, as the kernel requires.
func validOwners(_ packet.Family, values []string) bool {
	low, rest, ok := Number(values[0])
	if !ok {
		return values[0] != "" && !isDigit(values[0][0], 10)
	}
	if rest == "" {
		return low < 1<<32-1
	}
	high, more, ok := Number(rest[1:])
	return (rest[0] == '-' || rest[0] == ':') && ok && more == "" && low <= high && high < 1<<32-1
}

// validLabel accepts the number or the name of a connlabel.
func validLabel(_ packet.Family, values []string) bool {
	n, rest, ok := Number(values[0])
	return !ok || rest != "" || n < 128
}

func shortInterface(_ packet.Family, values []string) bool {
	return len(values[0]) <= packet.MaxInterface
}

// tcpOptions are the options of TCPOPTSTRIP that have names.
var tcpOptions = map[string]uint64{"wscale": 3, "mss": 2, "sack-permitted": 4, "sack": 5, "timestamp": 8, "md5": 19}

// validStrip accepts a list of distinct TCP options (libxt_TCPOPTSTRIP.c,
// parse_list).
func validStrip(_ packet.Family, values []string) bool {
	seen := map[uint64]bool{}
	for _, part := range strings.Split(values[0], ",") {
		n, named := tcpOptions[part]
		if !named {
			var ok bool
			if n, ok = WholeNumber(part, 2, 255); !ok {
				return false
			}
		}
		if seen[n] {
			return false
		}
		seen[n] = true
	}
	return true
}

// validHeaders accepts a list of IPv6 headers (libip6t_ipv6header.c).
func validHeaders(_ packet.Family, values []string) bool {
	known := false
	for _, part := range strings.FieldsFunc(values[0], func(r rune) bool { return r == ',' }) {
		p, ok := packet.ParseProtocolExactly(part)
		switch {
		case slices.Contains([]string{"hop-by-hop", "protocol", "hop", "dst", "route", "frag", "auth", "esp", "none", "prot"}, part):
		case ok && slices.Contains([]packet.Protocol{0, 43, 44, 50, 51, 59, 60, 255}, p):
		default:
			return false
		}
		known = true
	}
	return known
}

var classes = []string{
	"CS0", "CS1", "CS2", "CS3", "CS4", "CS5", "CS6", "CS7", "BE", "EF", "AF11", "AF12", "AF13", "AF21", "AF22", "AF23",
	"AF31", "AF32", "AF33", "AF41", "AF42", "AF43",
}

// validClass accepts a DSCP class (dscp_helper.c): text after its name is ignored.
func validClass(_ packet.Family, values []string) bool {
	for _, c := range classes {
		if len(values[0]) >= len(c) && strings.EqualFold(values[0][:len(c)], c) {
			return true
		}
	}
	return false
}

// validTOS accepts NUMBER[/MASK] or a name (xtoptions.c, xtopt_parse_tosmask).
func validTOS(f packet.Family, values []string) bool {
	if folded("Minimize-Delay", "Maximize-Throughput", "Maximize-Reliability", "Minimize-Cost", "Normal-Service")(f, values) {
		return true
	}
	number, mask, slash := strings.Cut(values[0], "/")
	_, ok := WholeNumber(number, 0, 255)
	_, maskOK := WholeNumber(mask, 0, 255)
	return ok && (!slash || maskOK)
}

// validHexString accepts text with |hexadecimal bytes| in it (libxt_string.c,
// parse_hex_string), at most 128 bytes.
func validHexString(_ packet.Family, values []string) bool {
	s, hex, size := values[0], false, 0
	for i := 0; i < len(s); size++ {
		if size == 128 || hex && s[i] == '\\' {
			return false
		}
		escape := s[i] == '\\'
		if s[i] == '|' {
			hex = !hex
			for hex && i+1 < len(s) && s[i+1] == ' ' {
				i++
			}
			if i++; i >= len(s) {
				break
			}
		}
		switch {
		case escape:
			if i+1 >= len(s) {
				return false
			}
			i += 2
		case hex:
			if i+2 >= len(s) || !isDigit(s[i], 16) || !isDigit(s[i+1], 16) {
				return false
			}
			if i += 2; s[i] == ' ' {
				i++
			}
		default:
			i++
		}
	}
	return s != ""
}

var classID = regexp.MustCompile(`^\s*[+-]?(0[xX])?[0-9a-fA-F]+:\s*[+-]?(0[xX])?[0-9a-fA-F]+`)

// validClassID accepts MAJOR:MINOR (libxt_CLASSIFY.c); text after it is ignored.
func validClassID(_ packet.Family, values []string) bool { return classID.MatchString(values[0]) }

// validZone accepts a conntrack zone (libxt_CT.c, ct_parse_zone_id).
func validZone(_ packet.Family, values []string) bool {
	_, ok := WholeNumber(values[0], 0, 65535)
	return ok || strings.EqualFold(values[0], "mark")
}

// The ports and addresses of the nat table (libxt_NAT.c).

// withPorts lists the protocols with which a port may be given.
var withPorts = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.DCCP, packet.ICMP}

// validNATPorts accepts PORT[-PORT[/BASE]].
func validNATPorts(_ packet.Family, values []string) bool {
	low, rest, ok := Number(values[0])
	if !ok || low > 65535 {
		return isName(values[0])
	}
	if rest == "" {
		return true
	}
	high, rest, ok := Number(strings.TrimPrefix(rest, "-"))
	base, slash := strings.CutPrefix(rest, "/")
	_, number := WholeNumber(base, 1, 65535)
	return values[0][len(values[0])-len(rest)-1] != '-' && ok && high >= low && high <= 65535 &&
		(rest == "" || slash && (number || isName(base)))
}

// noBase is validNATPorts without a BASE, which REDIRECT refuses.
func noBase(f packet.Family, values []string) bool {
	return validNATPorts(f, values) && !strings.Contains(values[0], "/")
}

// isName reports whether a text may be a service name.
func isName(text string) bool {
	return text != "" && text[0] != '-' && !isDigit(text[0], 10) && !strings.ContainsAny(text, ":,/ ")
}

// natParts splits [ADDRESS[-ADDRESS]][:PORTS], where an IPv6 address with ports is
// in brackets.
func natParts(text string) (addresses, ports string, hasPorts, ok bool) {
	if open := strings.IndexByte(text, '['); open >= 0 {
		inside, after, closed := strings.Cut(text[open+1:], "]")
		if !closed {
			return "", "", false, false
		}
		_, ports, hasPorts = strings.Cut(after, ":")
		return inside, ports, hasPorts, true
	}
	if strings.Count(text, ":") == 1 {
		addresses, ports, hasPorts = strings.Cut(text, ":")
		return addresses, ports, hasPorts, true
	}
	return text, "", false, true
}

// namesPort reports whether a value of --to-destination or --to-source has ports.
func namesPort(text string) bool {
	_, _, has, _ := natParts(text)
	return has
}

func always(string) bool { return true }

func validNATTarget(f packet.Family, values []string) bool {
	addresses, ports, hasPorts, ok := natParts(values[0])
	if !ok || f == packet.IPv4 && strings.Contains(values[0], "[") || hasPorts && !validNATPorts(f, []string{ports}) {
		return false
	}
	if addresses == "" {
		return hasPorts
	}
	for _, a := range strings.SplitN(addresses, "-", 2) {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Zone() != "" || addr.Is4() != (f == packet.IPv4) {
			return false
		}
	}
	return true
}

// The dates and days of time (libxt_time.c).

var dateForm = regexp.MustCompile(`^(\d+)(?:-(\d+)(?:-(\d+)(?:T(\d+)(?::(\d+)(?::(\d+))?)?)?)?)?$`)
var timeForm = regexp.MustCompile(`^(\d+):(\d+)(?::(\d+))?$`)

// within reports whether the numbers of a regexp match are within their bounds;
// missing numbers are.
func within(groups []string, most ...int) bool {
	for i, m := range most {
		if n, err := strconv.Atoi(groups[i]); groups[i] != "" && (err != nil || n > m) {
			return false
		}
	}
	return true
}

func validDate(_ packet.Family, values []string) bool {
	g := dateForm.FindStringSubmatch(values[0])
	if g == nil {
		return false
	}
	year, err := strconv.Atoi(g[1])
	return err == nil && year >= 1970 && year <= 2038 && within(g[2:], 12, 31, 23, 59, 59)
}

func validTime(_ packet.Family, values []string) bool {
	g := timeForm.FindStringSubmatch(values[0])
	return g != nil && within(g[1:], 23, 59, 59)
}

// clock returns a time of day in seconds.
func clock(text string) int {
	g := timeForm.FindStringSubmatch(text)
	seconds := 0
	for _, part := range g[1:] {
		n, _ := strconv.Atoi(part)
		seconds = seconds*60 + n
	}
	return seconds
}

// days parses a list of days, of which iptables reads only the first bytes.
func days(text string, seen int, valid func(day string) bool) bool {
	for text != "" {
		day, rest, _ := strings.Cut(text, ",")
		if !valid(day[:min(len(day), seen)]) {
			return false
		}
		text = rest
	}
	return true
}

func validMonthdays(_ packet.Family, values []string) bool {
	return days(values[0], 2, func(day string) bool {
		_, ok := WholeNumber(day, 0, 31)
		return ok || day == ""
	})
}

func validWeekdays(_ packet.Family, values []string) bool {
	return days(values[0], 3, func(day string) bool {
		if _, ok := WholeNumber(day, 1, 1<<31); ok {
			return true
		}
		for _, name := range []string{"Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"} {
			if strings.HasPrefix(day, name) {
				return true
			}
		}
		return false
	})
}
