// Package importer turns the chain DOCKER-USER, as somebody once wrote it, or a table of
// nftables into a policy. It does not translate rule by rule: it asks what the chain means, writes a
// policy of that in each way that the language has, and has each proved against the
// chain; the one with the fewest differences is taken, and they are listed. So nothing
// depends on how well the policy was guessed.
//
//	importer.go  the question and its answer
//	reading.go   one family's tables as functions of packets
//	nat.go       what DNAT makes of packets, and which packets there can be
//	logs.go      what is logged
//	host.go      the host blocks that may say it
//	plan.go      what the blocks of a policy say then
//	scopes.go    what the chain says of each port, address and interface
//	cover.go     addresses as a person would write them
//	names.go     names from the comments of rules
//	rules.go     what is asked of rules, whatever dialect they are written in
//	iptables.go  the rules of a table of iptables
//	nftables.go  the rules of a file of nft
//	nftnat.go    what is published, of a file of nft
//	write.go     the text
//	compare.go   the policy and the chain compared
package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// Chain is what is imported of one family: a filter table and, as far as the file has
// them, nat and raw, which say which packets come to DOCKER-USER; or a file of nft.
type Chain struct {
	Family     packet.Family
	Name       string // of the file
	Table      *iptables.Table
	Nat, Raw   *iptables.Table
	NFT        *nftables.File // in place of the tables, for a file of nft
	Source     []byte         // the file's text, for the comments in it; may be nil
	linesCache []string
	// withoutInput leaves the chains of the hook input out that are not Seawall's.
	withoutInput bool
}

// lines are the file's.
func (c *Chain) lines() []string {
	if c.linesCache == nil {
		c.linesCache = strings.Split(string(c.Source), "\n")
	}
	return c.linesCache
}

// Result is a policy, and what it does not say of the chains.
type Result struct {
	Policy   []byte
	Document *schema.Document
	// Missing are the packets that are treated in another way, those first that the policy
	// would let in.
	Missing []*Missing
	// Hosts says that some verdicts differ and the host does the same with the packets, since
	// Docker's own rules decide alike.
	Host bool
	// Nat says that packets which the nat table of the file does not make were left out.
	Nat bool
	// Lost are rules that log packets which the policy does not log in the same way.
	Lost     []Lost
	lostLogs int // of them, those that are about what is logged
	// closesInput says that chains of the hook input deny new connections.
	closesInput bool
	// Accepted counts kinds of packets that the chain accepts past Docker's own rules and
	// the policy passes to them.
	Accepted int
	// Title names what was imported: DOCKER-USER, or tables of nft.
	Title string
	// Notes say what else the user should know.
	Notes []string
}

// Lost is a rule that the policy does not say.
type Lost struct {
	Place, Rule string // file:line, and its text
	Why         string
}

// Scope is for which packets a policy and the chains are proved to be the same.
type Scope int

// The scopes, each part of the one before it.
const (
	AllPackets     Scope = iota
	AllConnections       // packets in original direction of connections, new or established
	PublishedPorts       // new connections to published ports
	NoScope              // something differs even there
)

// Scope is the widest scope in which nothing differs.
func (r *Result) Scope() Scope {
	if r.Equal() {
		return AllPackets
	}
	scope := AllConnections // a log that is lost changes no verdict
	if r.Accepted > 0 {
		return NoScope
	}
	for _, x := range r.Missing {
		switch {
		case x.Kind == Undecided || x.About == ToPublished:
			return NoScope
		case x.About == Direct || x.About == InConnection:
			scope = max(scope, PublishedPorts)
		}
	}
	return scope
}

// Safe reports whether the policy decides about every connection as the chains do, and of other
// packets only denies more: nothing that a service uses is lost, and nothing is opened.
func (r *Result) Safe() bool {
	return r.Scope() <= AllConnections && len(r.Lost) == 0 && !slices.ContainsFunc(r.Missing, func(x *Missing) bool {
		return x.Kind != Closes || x.About != Stray
	})
}

// Equal reports whether the policy says all that the chains say.
func (r *Result) Equal() bool { return len(r.Missing) == 0 && len(r.Lost) == 0 && r.Accepted == 0 }

// imported are the chains of all families while they are imported.
type imported struct {
	ctx      context.Context
	readings []*reading
}

// Import writes a policy for chains, of one family or both. External are the interfaces
// on which traffic from outside arrives; with none they are told from the rules.
//
// The error is an *InterfaceError where they cannot be told, for a table that iptables
// itself would refuse, a *prove.HardError, or the context's.
func Import(ctx context.Context, chains []Chain, external []string, limits prove.Limits) (*Result, error) {
	result, loose, err := importAll(ctx, chains, external, limits)
	if !loose || err == nil && result.saysInput() {
		return result, err
	}
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	chains = slices.Clone(chains)
	for i := range chains {
		chains[i].withoutInput = true
	}
	result, _, err = importAll(ctx, chains, external, limits)
	return result, err
}

// saysInput reports whether a policy says what the chains of the hook input say: all of it,
// or where they close ports, all that is about connections to them.
func (r *Result) saysInput() bool {
	return r.lostLogs == 0 && !slices.ContainsFunc(r.Missing, func(x *Missing) bool {
		return x.Hook == packet.Input && (!r.closesInput || x.Kind == Undecided || x.About <= InConnection)
	})
}

// importAll is Import with one choice of chains; loose says that they need not be all.
func importAll(ctx context.Context, chains []Chain, external []string, limits prove.Limits) (result *Result, loose bool, err error) {
	m, err := readAll(ctx, chains, external, limits)
	if err != nil {
		return nil, false, err
	}
	loose = slices.ContainsFunc(m.readings, func(r *reading) bool { return r.rules.looseInput() })
	result, err = m.best(external)
	return result, loose, err
}

// best is the policy with the fewest differences, of all candidates.
func (m *imported) best(external []string) (*Result, error) {
	var result *Result
	var unwritten error
	err := m.try(func() error {
		list, err := m.candidates(external)
		if err != nil {
			return err
		}
		for _, c := range list {
			got, err := m.attempt(c)
			if invalid, ok := errors.AsType[*invalidPolicy](err); ok {
				unwritten = invalid // another candidate may be valid
				continue
			}
			if err != nil {
				return err
			}
			if result == nil || got.score() < result.score() {
				result = got
			}
			if result.Equal() {
				return nil
			}
		}
		return nil
	})
	if err == nil && result == nil {
		err = unwritten
	}
	if err != nil {
		return nil, err
	}
	result.lostLogs = len(result.Lost)
	for _, r := range m.readings {
		result.closesInput = result.closesInput || r.closesInput()
		for _, x := range r.rules.beyond() {
			if !slices.Contains(result.Lost, x) { // of the other family
				result.Lost = append(result.Lost, x)
			}
		}
	}
	result.Notes = m.notes()
	result.Title = m.title()
	return result, nil
}

// notes say what the answer is bound to.
func (m *imported) notes() []string {
	var list []string
	add := func(note string) {
		if !slices.Contains(list, note) { // of the other family
			list = append(list, note)
		}
	}
	for _, r := range m.readings {
		missing, others := r.rules.natWords()
		switch rule := r.afterDNAT(); {
		case rule == nil:
		case !r.nat.known:
			add(fmt.Sprintf("%s matches a destination after DNAT, and %s", r.chain.place(rule.line), missing))
		case !r.nat.exact:
			add(fmt.Sprintf("%s matches a destination after DNAT, and %s; a destination may be anything then", r.chain.place(rule.line), others))
		}
		for _, note := range r.rules.notes() {
			add(note)
		}
	}
	return list
}

// title names what the families' chains are.
func (m *imported) title() string {
	var list []string
	for _, r := range m.readings {
		if t := r.rules.title(); !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return strings.Join(list, " and ")
}

// afterDNAT is the first rule that asks for a destination as DNAT made it, or nil.
func (r *reading) afterDNAT() *rule {
	list := r.rules.rules()
	if i := slices.IndexFunc(list, func(x *rule) bool { return x.translated }); i >= 0 {
		return list[i]
	}
	return nil
}

// score orders attempts: what would be opened counts more than what would be closed.
func (r *Result) score() int {
	n := r.Accepted + len(r.Lost)
	for _, d := range r.Missing {
		switch d.Kind {
		case Opens:
			n += 1000
		case Closes:
			n += 100
		default:
			n += 10
		}
	}
	return n
}

// invalidPolicy is the error for a candidate that the language does not allow.
type invalidPolicy struct {
	diags hcl.Diagnostics
	text  []byte
}

func (e *invalidPolicy) Error() string {
	return fmt.Sprintf("the imported policy is not valid, which is a bug in Seawall; please report it with the rules: %v\n%s", e.diags, e.text)
}

func readAll(ctx context.Context, chains []Chain, external []string, limits prove.Limits) (*imported, error) {
	m := &imported{ctx: ctx}
	patterns := slices.Clone(external)
	var sets []ruleset
	for _, c := range chains {
		if err := c.check(); err != nil {
			return nil, err
		}
		sets = append(sets, c.rules())
		patterns = append(patterns, sets[len(sets)-1].patterns()...)
	}
	for i, c := range chains {
		r, err := read(ctx, c, sets[i], patterns, limits)
		if err != nil {
			return nil, err
		}
		m.readings = append(m.readings, r)
	}
	return m, nil
}

// try runs f with every reading's limit.
func (m *imported) try(f func() error) error {
	for _, r := range m.readings {
		inner := f
		f = func() error { return r.try(inner) }
	}
	return f()
}

// attempt writes the policy of a candidate and compares it.
func (m *imported) attempt(c candidate) (*Result, error) {
	p := m.plan(c)
	var families []packet.Family
	for _, r := range m.readings {
		families = append(families, r.chain.Family)
	}
	result := &Result{Policy: write(p, families, m.title())}
	loaded, diags := schema.Load("-", schema.Options{Stdin: strings.NewReader(string(result.Policy))})
	if diags.HasErrors() {
		return nil, &invalidPolicy{diags, result.Policy}
	}
	result.Document = loaded.Document
	for _, r := range m.readings {
		if err := r.compare(result); err != nil {
			return nil, err
		}
	}
	result.sort()
	return result, nil
}
