package nftoracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// A Ruleset is what nft lists: tables in the order of the listing.
type Ruleset struct {
	tables map[tableKey]*table
	bases  []*chain // in the order of the listing
}

type tableKey struct{ family, name string }

type table struct {
	tableKey
	dormant tri // whether its base chains are switched off
	chains  map[string]*chain
	sets    map[string]*set
}

type chain struct {
	table      *table
	name       string
	rules      [][]statement
	hook, kind string // of a base chain
	priority   int
	policy     string
}

// A statement is one member of a rule's expr: its name and what belongs to it.
type statement struct {
	name string
	arg  any
}

// A set is a set or a map. Elements of a map have data.
type set struct {
	elements []element
	unsure   bool // what it holds may change, or its elements do more than match
}

type element struct {
	key    any
	data   any
	unsure bool
}

// listed is one member of the listing.
type listed struct {
	Table, Chain, Rule, Set, Map *object
}

// object has the members of tables, chains, rules and sets that matter.
type object struct {
	Family, Table, Chain, Name string
	Type                       any
	Hook, Policy               string
	Prio                       int
	Expr                       []map[string]any
	Flags                      any
	Elem                       []any
	Stmt                       []map[string]any
	Timeout                    any
}

// Parse reads the JSON of "nft -j list ruleset".
func Parse(text []byte) (*Ruleset, error) {
	var file struct{ Nftables []listed }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if file.Nftables == nil {
		return nil, errors.New("not a listing of nft")
	}
	r := &Ruleset{tables: map[tableKey]*table{}}
	// 1.0.6 lists the sets of a table before its chains, later ones after: so
	// the containers first.
	for _, l := range file.Nftables {
		if l.Table != nil {
			r.addTable(l.Table)
		}
	}
	for _, l := range file.Nftables {
		if err := r.addChain(l.Chain); err != nil {
			return nil, err
		}
	}
	for _, l := range file.Nftables {
		if err := errors.Join(r.addRule(l.Rule), r.addSet(l.Set), r.addSet(l.Map)); err != nil {
			return nil, err
		}
	}
	r.markChangingSets()
	return r, nil
}

func (r *Ruleset) addTable(o *object) {
	k := tableKey{o.Family, o.Name}
	r.tables[k] = &table{tableKey: k, dormant: dormant(o.Flags), chains: map[string]*chain{}, sets: map[string]*set{}}
}

// dormant reads the flags of a table. nft 1.0.6 prints another word in place of
// "dormant".
func dormant(flags any) tri {
	result := no
	for _, f := range list(flags) {
		switch f {
		case "owner", "persist":
		case "dormant":
			return yes
		default:
			result = maybe
		}
	}
	return result
}

// list returns the members of an array, or the one value that stands in place
// of one.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func (r *Ruleset) table(o *object) (*table, error) {
	t := r.tables[tableKey{o.Family, o.Table}]
	if t == nil {
		return nil, fmt.Errorf("table %s %s is not listed", o.Family, o.Table)
	}
	return t, nil
}

func (r *Ruleset) addChain(o *object) error {
	if o == nil {
		return nil
	}
	t, err := r.table(o)
	if err != nil {
		return err
	}
	c := &chain{table: t, name: o.Name, hook: o.Hook, priority: o.Prio, policy: o.Policy}
	c.kind, _ = o.Type.(string)
	t.chains[o.Name] = c
	if c.hook != "" {
		r.bases = append(r.bases, c)
	}
	return nil
}

func (r *Ruleset) addRule(o *object) error {
	if o == nil {
		return nil
	}
	t, err := r.table(o)
	if err != nil {
		return err
	}
	c := t.chains[o.Chain]
	if c == nil {
		return fmt.Errorf("chain %s of table %s %s is not listed", o.Chain, o.Family, o.Table)
	}
	var statements []statement
	for _, e := range o.Expr {
		if len(e) != 1 {
			return fmt.Errorf("a statement of chain %s has %d members", o.Chain, len(e))
		}
		for name, arg := range e {
			statements = append(statements, statement{name, arg})
		}
	}
	c.rules = append(c.rules, statements)
	return nil
}

func (r *Ruleset) addSet(o *object) error {
	if o == nil {
		return nil
	}
	t, err := r.table(o)
	if err != nil {
		return err
	}
	s := &set{elements: elements(o.Elem), unsure: o.Timeout != nil}
	for _, f := range list(o.Flags) {
		s.unsure = s.unsure || f == "timeout" || f == "dynamic"
	}
	for _, stmt := range o.Stmt {
		for name := range stmt {
			s.unsure = s.unsure || name != "counter"
		}
	}
	t.sets[o.Name] = s
	return nil
}

// elements reads the members of a set ("key", or an object "elem" around it) or
// of a map (a pair of such a key and its data).
func elements(members []any) []element {
	var result []element
	for _, m := range members {
		var e element
		if pair, ok := m.([]any); ok && len(pair) == 2 {
			m, e.data = pair[0], pair[1]
		}
		e.key = m
		if name, arg := only(m); name == "elem" {
			o, _ := arg.(map[string]any)
			e.key = o["val"]
			for name := range o {
				e.unsure = e.unsure || !slices.Contains([]string{"val", "comment", "counter"}, name)
			}
		}
		result = append(result, e)
	}
	return result
}

// only returns the name and the value of an object with one member.
func only(v any) (string, any) {
	o, _ := v.(map[string]any)
	if len(o) != 1 {
		return "", nil
	}
	for name, arg := range o {
		return name, arg
	}
	return "", nil
}

// markChangingSets makes unsure what statements of rules add to, or delete from.
func (r *Ruleset) markChangingSets() {
	for _, t := range r.tables {
		for _, c := range t.chains {
			for _, rule := range c.rules {
				for _, s := range rule {
					t.changed(s)
				}
			}
		}
	}
}

func (t *table) changed(s statement) {
	o, _ := s.arg.(map[string]any)
	for _, name := range []string{"set", "map"} {
		if ref, _ := o[name].(string); s.name == name && len(ref) > 1 && t.sets[ref[1:]] != nil {
			t.sets[ref[1:]].unsure = true
		}
	}
}
