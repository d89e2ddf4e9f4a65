package iptables

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// iptables passes its words to getopt_long, with its own options first, then
// those of the modules that the rule has loaded so far, the last one first. So
// the meaning of a word depends on the words before it: an option belongs to the
// module loaded last that knows it, a name may be abbreviated while it is unique,
// and an unknown option makes iptables load the protocol's module. This file does
// the same (glibc's getopt, process_long_option; libxtables,
// xtables_options_xfrm; iptables/xshared.c, command_default).

// argument says whether an option takes a value.
type argument int

const (
	noArgument argument = iota
	required
	optional // only when it is joined to the option
)

// basic is one of iptables' own options.
type basic struct {
	name string
	arg  argument
	val  byte
}

// basics are iptables' own long options (iptables/xtables.c, original_opts).
var basics = []basic{
	{"append", required, 'A'}, {"delete", required, 'D'}, {"check", required, 'C'}, {"insert", required, 'I'},
	{"replace", required, 'R'}, {"list", optional, 'L'}, {"list-rules", optional, 'S'}, {"flush", optional, 'F'},
	{"zero", optional, 'Z'}, {"new-chain", required, 'N'}, {"delete-chain", optional, 'X'}, {"rename-chain", required, 'E'},
	{"policy", required, 'P'}, {"source", required, 's'}, {"destination", required, 'd'}, {"src", required, 's'},
	{"dst", required, 'd'}, {"protocol", required, 'p'}, {"in-interface", required, 'i'}, {"jump", required, 'j'},
	{"table", required, 't'}, {"match", required, 'm'}, {"numeric", noArgument, 'n'}, {"out-interface", required, 'o'},
	{"verbose", noArgument, 'v'}, {"wait", optional, 'w'}, {"wait-interval", optional, 'W'}, {"exact", noArgument, 'x'},
	{"fragments", noArgument, 'f'}, {"version", noArgument, 'V'}, {"help", optional, 'h'}, {"line-numbers", noArgument, '0'},
	{"modprobe", required, 'M'}, {"set-counters", required, 'c'}, {"goto", required, 'g'}, {"ipv4", noArgument, '4'}, {"ipv6", noArgument, '6'},
}

// short maps iptables' one-letter options to how they take values (xshared.h,
// IPT_OPTSTRING).
var short = func() map[byte]argument {
	list := map[byte]argument{}
	for _, b := range "ACDEINPMRcdijopstgm" {
		list[byte(b)] = required
	}
	for _, b := range "FLXZSWwh" {
		list[byte(b)] = optional
	}
	for _, b := range "V46bfnvx" {
		list[byte(b)] = noArgument
	}
	return list
}()

// found is the option that a word names: one of iptables' own, or one of a loaded
// module.
type found struct {
	basic  *basic
	use    int // the index of the module among those in use, -1 for a basic
	option *match.Option
}

func (f found) takesValue() argument {
	switch {
	case f.basic != nil:
		return f.basic.arg
	case f.option.Value == match.None, f.option.Optional:
		return noArgument
	}
	return required
}

// same reports whether getopt treats two options that an abbreviation fits as one.
func (f found) same(g found) bool {
	if f.basic != nil && g.basic != nil {
		return f.basic.val == g.basic.val && f.basic.arg == g.basic.arg
	}
	return f.option != nil && g.option != nil && f.use == g.use && f.option.Canonical() == g.option.Canonical() &&
		f.takesValue() == g.takesValue()
}

// long finds the option for a name without its dashes. It reports ambiguous for
// an abbreviation of several options.
func (r *ruleReader) long(name string) (f found, ok, ambiguous bool) {
	list := r.options(name)
	for _, x := range list {
		if x.name() == name {
			return x, true, false
		}
	}
	for i, x := range list {
		if i > 0 && !x.same(list[0]) {
			return found{}, false, true
		}
	}
	if len(list) == 0 {
		return found{}, false, false
	}
	return list[0], true, false
}

func (f found) name() string {
	if f.basic != nil {
		return f.basic.name
	}
	return f.option.Name
}

// options returns all options that begin with a name, in getopt's order.
func (r *ruleReader) options(name string) []found {
	var list []found
	for i := range basics {
		if strings.HasPrefix(basics[i].name, name) {
			list = append(list, found{basic: &basics[i], use: -1})
		}
	}
	for _, at := range slices.Backward(r.loaded) {
		m := r.module(at)
		for i := range m.Options {
			if strings.HasPrefix(m.Options[i].Name, name) {
				list = append(list, found{use: at, option: &m.Options[i]})
			}
		}
	}
	return list
}
