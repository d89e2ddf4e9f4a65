package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ruleReader reads the words of one rule. A list of sources or destinations
// makes several rules, as in iptables.
type ruleReader struct {
	words   []word
	next    int
	body    *Body
	sources []Source
	dests   []Source
	not     bool
	target  bool // -j or -g was read: options are the target's
}

func (p *parser) parseRule(words []word) ([]*Rule, error) {
	r := &ruleReader{words: words, body: &Body{}}
	for r.next < len(r.words) {
		if err := r.word(); err != nil {
			return nil, err
		}
	}
	if r.not {
		return nil, fmt.Errorf("a \"!\" with nothing after it")
	}
	return r.rules(), nil
}

func (r *ruleReader) rules() []*Rule {
	if len(r.sources) == 0 {
		r.sources = []Source{{}}
	}
	if len(r.dests) == 0 {
		r.dests = []Source{{}}
	}
	var list []*Rule
	for _, s := range r.sources {
		for _, d := range r.dests {
			body := r.body
			if d != (Source{}) {
				copied := *r.body
				copied.Dest = d
				body = &copied
			}
			list = append(list, &Rule{Source: s, Body: body})
		}
	}
	return list
}

func (r *ruleReader) word() error {
	w := r.words[r.next]
	r.next++
	name := w.text
	if a, ok := aliases[name]; ok && !w.quoted {
		name = a
	}
	switch {
	case w.quoted:
		return fmt.Errorf("%s stands where an option should", Quote(w.text))
	case name == "!":
		if r.not {
			return fmt.Errorf("two \"!\" in a row")
		}
		r.not = true
		return nil
	case name == "-f":
		r.body.Fragment = "-f"
		if r.not {
			r.body.Fragment = "! -f"
		}
		r.not = false
		return nil
	case len(name) == 2 && name[0] == '-' && strings.ContainsRune("sdiopmjg", rune(name[1])):
		value, err := r.value(name)
		if err != nil {
			return err
		}
		not := r.not
		r.not = false
		return r.basic(name[1], value, not)
	case strings.HasPrefix(name, "-") && len(name) > 1:
		return r.option(name)
	}
	return fmt.Errorf("%q stands where an option should", w.text)
}

// value takes the word after an option, and a "!" before it, which old
// versions of iptables wrote there.
func (r *ruleReader) value(option string) (string, error) {
	if r.next < len(r.words) && r.words[r.next].text == "!" && !r.words[r.next].quoted {
		if r.not {
			return "", fmt.Errorf("%s is negated twice", option)
		}
		r.not = true
		r.next++
	}
	if r.next >= len(r.words) {
		return "", fmt.Errorf("%s needs a value", option)
	}
	v := r.words[r.next].text
	r.next++
	return v, nil
}

func (r *ruleReader) basic(option byte, value string, not bool) error {
	if !isName(value) {
		return fmt.Errorf("-%c takes a name, not %s", option, Quote(value))
	}
	var err error
	switch option {
	case 's':
		r.sources, err = addresses(value, not, r.sources)
	case 'd':
		r.dests, err = addresses(value, not, r.dests)
	case 'i':
		r.body.In = Interface{value, not}
	case 'o':
		r.body.Out = Interface{value, not}
	case 'p':
		name := strings.ToLower(value)
		if n, ok := protocolNumbers[name]; ok {
			name = n
		}
		r.body.Protocol = Protocol{name, not}
		if name == "all" && !not {
			r.body.Protocol = Protocol{}
		}
	case 'm':
		if not {
			return fmt.Errorf("a \"!\" before -m; it belongs before the option that it negates")
		}
		r.body.Matches = append(r.body.Matches, Match{Name: value})
		r.target = false
	case 'j', 'g':
		if not {
			return fmt.Errorf("a target cannot be negated")
		}
		if r.body.Target.Name != "" {
			return fmt.Errorf("a rule has one target; this one has %s and %s", r.body.Target.Name, value)
		}
		r.body.Target = Target{Name: value, Goto: option == 'g'}
		r.target = true
	}
	return err
}

// addresses reads the value of -s or -d: one CIDR, an address with a netmask,
// or a list of these. Host bits are cut, as iptables does (FACTS section 4).
func addresses(value string, not bool, before []Source) ([]Source, error) {
	if len(before) > 0 {
		return nil, fmt.Errorf("a rule has one list of sources and one of destinations")
	}
	var list []Source
	for _, one := range strings.Split(value, ",") {
		p, err := parsePrefix(one)
		if err != nil {
			return nil, err
		}
		list = append(list, Source{p, not})
	}
	if not && len(list) > 1 {
		return nil, fmt.Errorf("\"!\" is not allowed with a list of addresses; iptables refuses it")
	}
	return list, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	address, mask, slash := strings.Cut(text, "/")
	a, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address; a name would be looked up when the file is loaded, and mean another thing each time", text)
	}
	if !slash {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && a.Is4() {
		if bits, ok := maskBits(m.As4()); ok {
			return netip.PrefixFrom(a, bits).Masked(), nil
		}
		return netip.Prefix{}, fmt.Errorf("%q has a netmask with holes", text)
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address and no CIDR", text)
	}
	return p.Masked(), nil
}

func maskBits(m [4]byte) (int, bool) {
	v := uint32(m[0])<<24 | uint32(m[1])<<16 | uint32(m[2])<<8 | uint32(m[3])
	bits := 0
	for v&0x80000000 != 0 {
		bits++
		v <<= 1
	}
	return bits, v == 0
}

// option reads an option of a match or a target, and its values: all words up
// to the next option.
func (r *ruleReader) option(name string) error {
	o := Option{Name: name, Not: r.not}
	r.not = false
	for r.next < len(r.words) {
		w := r.words[r.next]
		if free := freeText[name]; free && len(o.Values) == 1 {
			break
		} else if free {
			o.Values = append(o.Values, w.text)
			r.next++
			continue
		}
		if !w.quoted && (w.text == "!" && len(o.Values) > 0 || strings.HasPrefix(w.text, "-") && len(w.text) > 1 || w.text == "!" && o.Not) {
			break
		}
		if !w.quoted && w.text == "!" && r.next+1 < len(r.words) && strings.HasPrefix(r.words[r.next+1].text, "-") && !r.words[r.next+1].quoted {
			break
		}
		r.next++
		if w.text == "!" && !w.quoted {
			o.Not = true
			continue
		}
		o.Values = append(o.Values, w.text)
	}
	return r.give(o)
}

// give hands an option to the match or target that it belongs to.
func (r *ruleReader) give(o Option) error {
	names := []string{owner(o.Name)}
	if ofProtocol[o.Name] {
		names = withOptions
	}
	for i := range r.body.Matches {
		if slices.Contains(names, r.body.Matches[i].Name) {
			r.body.Matches[i].Options = append(r.body.Matches[i].Options, o)
			return nil
		}
	}
	if ofProtocol[o.Name] {
		name := implicit(r.body.Protocol.Name)
		if !slices.Contains(withOptions, name) {
			return fmt.Errorf("%s needs -p with a protocol that knows it before it", o.Name)
		}
		r.body.Matches = append(r.body.Matches, Match{Name: name, Options: []Option{o}})
		return nil
	}
	if r.target {
		r.body.Target.Options = append(r.body.Target.Options, o)
		return nil
	}
	if len(r.body.Matches) == 0 {
		return fmt.Errorf("%s belongs to no match: it needs -m NAME before it", o.Name)
	}
	last := &r.body.Matches[len(r.body.Matches)-1]
	last.Options = append(last.Options, o)
	return nil
}

// isName tells whether a text can stand in a line without quotes: as a name of a
// chain, interface, match or target, none of which can hold a blank.
func isName(text string) bool {
	return text != "" && text != "!" && !strings.HasPrefix(text, "-") && !strings.ContainsAny(text, " \t\r\n\v\f\"\\'")
}
