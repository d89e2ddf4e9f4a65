package iptables

import (
	"bytes"
	"strings"

	"github.com/seawall/seawall/compiler/iptables/match"
)

// A long file is nearly all chains of Seawall's, each declared where its rules are. Their
// second half is read beside the first one, by a reader that knows nothing of what comes
// before: it reads canonical lines alone, and remembers the chains that it does not know.
// When the parser arrives there it takes over what was read, or, where what came before
// could give a line another meaning, reads those lines itself.

// aheadFrom is how long a text must be to be read so.
var aheadFrom = 4 << 20

// ahead is a part of a text that is read ahead of the parser.
type ahead struct {
	from, to int // where it begins, and how far it was read
	reader   *parser
	done     chan struct{}
}

// elsewhere is a rule that goes to a chain which is declared before the part that is
// read ahead.
type elsewhere struct {
	rule   *Rule
	packed int // in place of rule: where the packing has the chain
	chain  string
}

// readAhead begins to read the second half of a long text. It returns nil for a short one.
func readAhead(src []byte, opt Options) *ahead {
	if !opt.ChainsOnly || opt.Memory != nil || len(src) < aheadFrom {
		return nil
	}
	declared := bytes.Index(src[len(src)/2:], []byte("\n:"+OwnedPrefix))
	if declared < 0 {
		return nil
	}
	a := &ahead{from: len(src)/2 + declared + 1, done: make(chan struct{})}
	a.reader = newParser(nil, opt)
	a.reader.isAhead = true
	a.reader.table = &Table{Name: "filter"}
	a.reader.file.Tables = []*Table{a.reader.table}
	go a.read(src)
	return a
}

func (a *ahead) read(src []byte) {
	defer close(a.done)
	p := a.reader
	p.line += bytes.Count(src[:a.from], []byte("\n"))
	for a.to = a.from; a.to < len(src); {
		end := bytes.IndexByte(src[a.to:], '\n')
		if end < 0 {
			return
		}
		p.line++
		line := src[a.to : a.to+end]
		if !p.canonical(line) && !p.canonicalChain(line) && !remark(line) {
			p.line--
			return
		}
		a.to += end + 1
	}
}

// remark reports whether a line is a comment as Seawall writes them.
func remark(line []byte) bool {
	return len(line) < maxLine && bytes.HasPrefix(line, []byte("# ")) && !bytes.HasPrefix(line, []byte("# Table ")) && bytes.IndexByte(line, 0) < 0
}

// takeOver continues after the part that was read ahead. It returns where it ends, or
// false if the parser must read it.
func (p *parser) takeOver(a *ahead) (int, bool) {
	<-a.done
	q := a.reader
	if a.to == a.from || !p.soFarAlone() || len(q.missing) > 0 {
		return 0, false
	}
	for _, c := range q.table.Chains {
		if p.table.byName[c.Name] != nil {
			return 0, false
		}
	}
	for _, e := range q.elsewhere {
		to := p.table.byName[e.chain]
		switch {
		case to == nil:
			return 0, false
		case e.rule != nil:
			e.rule.To = to
		default:
			q.packing.chains[e.packed] = to
		}
	}
	for _, c := range q.table.Chains {
		p.table.Add(c)
	}
	p.line, p.hooked, p.last = q.line, p.hooked || q.hooked, nil
	return a.to, true
}

// soFarAlone reports whether nothing that was read so far can give a canonical line
// another meaning than it has by itself.
func (p *parser) soFarAlone() bool {
	if p.table == nil || p.listing || p.table.Name != "filter" || len(p.file.Tables) != 1 || len(p.missing) > 0 || len(p.gone) > 0 {
		return false
	}
	for _, c := range p.table.Chains {
		if !strings.HasPrefix(c.Name, OwnedPrefix) && match.Lookup(match.TargetKind, c.Name, p.Family) != nil {
			return false
		}
	}
	return true
}
