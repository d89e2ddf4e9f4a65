package ipset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// verb is what a line asks for, by the first of its names.
type verb string

const (
	create   verb = "create"
	add      verb = "add"
	del      verb = "del"
	test     verb = "test"
	destroy  verb = "destroy"
	list     verb = "list"
	save     verb = "save"
	restore  verb = "restore"
	flush    verb = "flush"
	rename   verb = "rename"
	swap     verb = "swap"
	help     verb = "help"
	version  verb = "version"
	quit     verb = "quit"
	interact verb = "-"
)

// verbs are ipset's commands in the order in which it looks for one, with how
// many words must follow and how many may (libipset, ipset.c). The rest of the
// words are options.
var verbs = []struct {
	verb       verb
	names      []string
	least, all int
}{
	{create, []string{"create", "new", "-N"}, 2, 2},
	{add, []string{"add", "-A"}, 2, 2},
	{del, []string{"del", "-D"}, 2, 2},
	{test, []string{"test", "-T"}, 2, 2},
	{destroy, []string{"destroy", "x", "-X"}, 0, 1},
	{list, []string{"list", "-L"}, 0, 1},
	{save, []string{"save", "-S"}, 0, 1},
	{restore, []string{"restore", "-R"}, 0, 0},
	{flush, []string{"flush", "-F"}, 0, 1},
	{rename, []string{"rename", "e", "-E"}, 2, 2},
	{swap, []string{"swap", "w", "-W"}, 2, 2},
	{help, []string{"help", "-h", "-H"}, 0, 1},
	{version, []string{"version", "-v", "-V"}, 0, 0},
	{quit, []string{"quit"}, 0, 0},
}

func (p *parser) command(words []string) error {
	words, err := p.global(words)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("the line has no command")
	}
	v, names, args, err := cut(words)
	if err != nil {
		return err
	}
	for _, name := range names[:min(len(names), nameCount(v))] {
		if len(name) > 31 {
			return fmt.Errorf("the name %q is longer than 31 bytes", name)
		}
	}
	switch v {
	case create:
		return p.create(names[0], names[1], args)
	case add, del:
		return p.entry(v, names[0], names[1], args)
	}
	if len(args) > 0 {
		return fmt.Errorf("%s takes no option %q", v, args[0])
	}
	p.batch = batch{}
	return p.whole(v, names)
}

// nameCount is how many of the words after a verb are names of sets.
func nameCount(v verb) int {
	switch v {
	case swap, rename:
		return 2
	}
	return 1
}

// global takes the options of ipset itself out of a line: they may stand
// anywhere, also as a comment, quoted or not. They are looked for one after the
// other, so that -o takes the next word even when that is an option as well.
func (p *parser) global(words []string) ([]string, error) {
	is := func(word string, names ...string) bool {
		if strings.HasPrefix(word, "--") {
			word = word[1:]
		}
		return slices.Contains(names, word)
	}
	for i := 0; i < len(words); {
		if !is(words[i], "-o", "-output") {
			i++
			continue
		}
		if i+1 == len(words) || !slices.Contains([]string{"plain", "save", "xml"}, words[i+1]) {
			return nil, fmt.Errorf("%s needs a form of output: plain, save or xml", words[i])
		}
		words = slices.Delete(words, i, i+2)
	}
	words = slices.DeleteFunc(words, func(w string) bool {
		if is(w, "-!", "-exist") {
			p.exist = true
			return true
		}
		return is(w, "-s", "-sorted", "-q", "-quiet", "-r", "-resolve", "-n", "-name", "-t", "-terse")
	})
	for _, w := range words {
		if is(w, "-f", "-file") {
			return nil, fmt.Errorf("%s names another file; a file for ipset restore stands alone", w)
		}
	}
	return words, nil
}

// cut takes the verb and the words that it must have from the front of a line. A
// verb may be cut short, "a" for add; the first in ipset's order is meant.
func cut(words []string) (v verb, names, args []string, err error) {
	word := words[0]
	if word == "-" {
		return interact, nil, nil, nil
	}
	short := strings.TrimPrefix(word, "--")
	for _, c := range verbs {
		if short == "" || !slices.ContainsFunc(c.names, func(n string) bool { return strings.HasPrefix(n, short) }) {
			continue
		}
		rest := words[1:]
		if len(rest) < c.least {
			return "", nil, nil, fmt.Errorf("%s needs %d words more", c.verb, c.least-len(rest))
		}
		n := min(c.all, len(rest))
		return c.verb, rest[:n], rest[n:], nil
	}
	return "", nil, nil, fmt.Errorf("%q is not a command: a line is create, add, del, flush, swap, rename or destroy", word)
}

// whole carries out a command about whole sets.
func (p *parser) whole(v verb, names []string) error {
	switch v {
	case test:
		return errors.New("test ends the restore at its line, with an error or without; the lines after it would not be loaded")
	case quit, interact:
		return fmt.Errorf("%q ends the restore: entries before it are lost, lines after it are not carried out or their errors not seen", v)
	case restore, help, version:
		return fmt.Errorf("%s is not for a file", v)
	}
	for i, name := range names {
		if p.sets[name] == nil && !(v == rename && i == 1) && !(v == destroy && p.exist) {
			return fmt.Errorf("there is no set %s before this line", name)
		}
	}
	switch v {
	case destroy:
		return p.destroy(names)
	case flush:
		for _, name := range names {
			p.empty(p.sets[name])
		}
		if len(names) == 0 {
			for _, s := range p.sets {
				p.empty(s)
			}
		}
	case rename:
		return p.rename(names[0], names[1])
	case swap:
		return p.swap(names[0], names[1])
	}
	return nil // list and save only print
}

func (p *parser) destroy(names []string) error {
	if len(names) == 0 {
		for name := range p.sets {
			if p.refs[name] > 0 {
				return fmt.Errorf("the set %s is in a list:set", name)
			}
		}
		clear(p.sets)
		p.cache = nil
		return nil
	}
	name := names[0]
	if p.refs[name] > 0 {
		return fmt.Errorf("the set %s is in a list:set", name)
	}
	if s := p.sets[name]; s != nil {
		p.empty(s)
	}
	delete(p.sets, name)
	if i := slices.IndexFunc(p.cache, func(c cached) bool { return c.name == name }); i >= 0 {
		p.cache = slices.Delete(p.cache, i, i+1)
	}
	return nil
}

// empty takes all entries out of a set.
func (p *parser) empty(s *held) {
	for name := range s.members {
		p.refs[name]--
	}
	clear(s.members)
	clear(s.texts)
	s.nets, s.spans = nets{}, spans{}
}

func (p *parser) rename(from, to string) error {
	switch {
	case p.refs[from] > 0:
		return fmt.Errorf("the set %s is in a list:set, and keeps its name", from)
	case p.sets[to] != nil:
		return fmt.Errorf("the set %s is there already", to)
	}
	s := p.sets[from]
	delete(p.sets, from)
	s.name, p.sets[to] = to, s
	if i := slices.IndexFunc(p.cache, func(c cached) bool { return c.name == from }); i >= 0 {
		p.cache[i].name = to
	}
	return nil
}

// swap changes the contents of two sets; a list:set that holds one of them goes
// on with the name.
func (p *parser) swap(a, b string) error {
	one, two := p.sets[a], p.sets[b]
	if kinds[one.kind].features != kinds[two.kind].features || one.family != two.family {
		return fmt.Errorf("the sets %s and %s are of different types or families", a, b)
	}
	one.name, two.name = b, a
	p.sets[a], p.sets[b] = two, one
	i := slices.IndexFunc(p.cache, func(c cached) bool { return c.name == a })
	j := slices.IndexFunc(p.cache, func(c cached) bool { return c.name == b })
	if i >= 0 && j >= 0 {
		p.cache[i].name, p.cache[j].name = b, a
	}
	return nil
}
