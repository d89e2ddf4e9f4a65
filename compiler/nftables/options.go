package nftables

import (
	"slices"
	"strings"
)

// elementOptions are what an element of a named set has that the set must declare.
type elementOptions struct {
	element    Expr
	line       int
	statements []string // such as counter, by their first words
	timed      bool     // it has a timeout
}

// keepOptions keeps those of an element until the whole declaration of its set is read.
func (p *parser) keepOptions(s *Set, has elementOptions) {
	if s == nil || s.Name == "" || len(has.statements) == 0 && !has.timed {
		return
	}
	if p.options == nil {
		p.options = map[*Set][]elementOptions{}
	}
	p.options[s] = append(p.options[s], has)
}

// fitOptions refuses elements with a timeout or statements that their set does not declare
// (evaluate.c, expr_evaluate_set_elem: a set that is dynamic and declares none takes any).
func (p *parser) fitOptions(s *Set) {
	declared, timed := s.declares()
	for _, has := range p.options[s] {
		switch {
		case has.timed && !timed:
			p.failAt(has.line, "the element %s has a timeout: the set %s needs \"flags timeout\"", text(&has.element), s.Name)
		case len(has.statements) == 0, len(declared) == 0 && s.Has("dynamic"), slices.Equal(has.statements, declared):
		case len(declared) == 0:
			p.failAt(has.line, "the element %s has %q, which the set %s does not declare", text(&has.element), strings.Join(has.statements, " "), s.Name)
		default:
			p.failAt(has.line, "the element %s has %q, and the set %s declares %q", text(&has.element), strings.Join(has.statements, " "), s.Name, strings.Join(declared, " "))
		}
	}
	delete(p.options, s)
}

// declares are the statements of a set, by their first words, and whether its elements may
// have timeouts.
func (s *Set) declares() (statements []string, timed bool) {
	timed = s.Has("timeout")
	for part := range strings.SplitSeq(s.Unread, "; ") {
		switch word, _, _ := strings.Cut(part, " "); word {
		case "timeout":
			timed = true
		case "counter", "limit", "quota", "last", "ct":
			statements = append(statements, word)
		}
	}
	return statements, timed
}
