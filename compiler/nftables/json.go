package nftables

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ParseJSON reads what "nft -j list ruleset" or "nft -j list table" prints
// (libnftables-json(5)), of nft 1.0.6 and 1.1. It is one line of JSON, so the line of a
// table, chain, set or rule is its place in the list "nftables", counted from 0:
// jq '.nftables[12]' prints what messages call line 12. Nothing else is at 0, which
// nft fills with its version.
//
// JSON says less than the text. Version 1.0.6 leaves out that a set is dynamic, that
// it was declared by typeof, and comments of tables and chains; no version can tell
// the set @wan from an interface of the name "@wan". Where a rule adds to a set, the
// set is dynamic whatever its flags say.
func ParseJSON(src []byte) (*File, error) {
	var list struct {
		Nftables []map[string]json.RawMessage `json:"nftables"`
	}
	d := json.NewDecoder(bytes.NewReader(src))
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("not the output of nft -j: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not the output of nft -j: something follows the list")
	}
	if list.Nftables == nil {
		return nil, errors.New(`not the output of nft -j: the list "nftables" is missing`)
	}
	r := &jsonReader{file: &File{Source: src, JSON: true}}
	// 1.1 lists chains before the sets, and 1.0.6 after them; rules come last.
	for _, kinds := range [][]string{{"table"}, {"set", "map"}, {"chain"}, {}} {
		if err := r.all(list.Nftables, kinds); err != nil {
			return nil, err
		}
	}
	r.markDynamic()
	return r.file, nil
}

type jsonReader struct {
	file  *File
	table *Table // whose rule is read
	line  int    // of the rule
	fills []jsonFill
}

// jsonFill is a set that a rule adds to.
type jsonFill struct {
	table *Table
	name  string
}

// all reads the objects of some kinds; of every other kind where none is named.
func (r *jsonReader) all(list []map[string]json.RawMessage, kinds []string) error {
	for i, entry := range list {
		for kind, raw := range entry {
			early := slices.Contains([]string{"table", "set", "map", "chain"}, kind)
			if kind == "metainfo" || len(kinds) == 0 && early || len(kinds) > 0 && !slices.Contains(kinds, kind) {
				continue
			}
			o, err := jsonObject(raw)
			if err == nil {
				err = r.one(kind, o, i)
			}
			if err != nil {
				return fmt.Errorf("entry %d, %s: %w", i, kind, err)
			}
		}
	}
	return nil
}

// jsonObject decodes an object; its numbers keep their text.
func jsonObject(raw json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	return o, nil
}

// jsonCommands are what a list for nft -j -f begins its entries with.
var jsonCommands = []string{"add", "replace", "create", "insert", "delete", "destroy", "list", "reset", "flush", "rename"}

// one reads one entry of the list.
func (r *jsonReader) one(kind string, o map[string]any, line int) error {
	if slices.Contains(jsonCommands, kind) {
		return errors.New("this is a list of commands. Pipe what nft -j list ruleset prints")
	}
	if kind == "table" {
		return r.addTable(o, line)
	}
	t := r.file.Table(Family(jsonText(o["family"])), jsonText(o["table"]))
	if t == nil {
		return fmt.Errorf("the table %s %s is not in the list", jsonText(o["family"]), jsonText(o["table"]))
	}
	switch kind {
	case "chain":
		return addJSONChain(t, o, line)
	case "set", "map":
		return r.addSet(t, kind == "map", o, line)
	case "rule":
		return r.addRule(t, o, line)
	case "element":
		return errors.New("elements without their set. Pipe what nft -j list ruleset prints")
	}
	t.Objects = append(t.Objects, &Object{Kind: kind, Name: jsonText(o["name"]), Line: line})
	return nil
}

func jsonText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// jsonTexts are the strings of a list, or the one string that stands in place of it.
func jsonTexts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var all []string
	for _, e := range list {
		if s := jsonText(e); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// onlyKeys reports whether an object has no keys but these.
func onlyKeys(o map[string]any, keys ...string) bool {
	for k := range o {
		if !slices.Contains(keys, k) {
			return false
		}
	}
	return true
}

// otherKeys is what an object says beyond some keys, as JSON; "" for nothing.
func otherKeys(o map[string]any, keys ...string) string {
	left := map[string]any{}
	for k, v := range o {
		if !slices.Contains(keys, k) {
			left[k] = v
		}
	}
	if len(left) == 0 {
		return ""
	}
	return asJSON(left)
}

// asJSON is a value as JSON again, keys sorted.
func asJSON(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // it came from JSON
	return strings.TrimSpace(b.String())
}

// jsonTableFlags are the flags that a table can have.
var jsonTableFlags = []string{"dormant", "owner", "persist"}

func (r *jsonReader) addTable(o map[string]any, line int) error {
	t := &Table{Family: Family(jsonText(o["family"])), Name: jsonText(o["name"]), Comment: jsonText(o["comment"]), Line: line, Flags: jsonTexts(o["flags"])}
	if t.Name == "" || t.Family == "" {
		return errors.New("it has no family or no name")
	}
	for _, f := range t.Flags {
		if !slices.Contains(jsonTableFlags, f) {
			// 1.0.6 prints what is left in freed memory.
			return fmt.Errorf("the table %s %s has flags that this version of nft does not print in JSON. Use the text of nft list ruleset", t.Family, t.Name)
		}
	}
	r.file.Tables = append(r.file.Tables, t)
	return nil
}

func addJSONChain(t *Table, o map[string]any, line int) error {
	c := &Chain{Name: jsonText(o["name"]), Comment: jsonText(o["comment"]), Line: line}
	if c.Name == "" {
		return errors.New("it has no name")
	}
	t.Chains = append(t.Chains, c)
	if o["hook"] == nil && o["type"] == nil {
		return nil
	}
	h := &Hook{Type: jsonText(o["type"]), Hook: jsonText(o["hook"]), Policy: jsonText(o["policy"]), Devices: jsonTexts(o["dev"])}
	if h.Policy == "" {
		h.Policy = "accept"
	}
	h.Unread = otherKeys(o, "family", "table", "name", "newname", "comment", "handle", "type", "hook", "prio", "policy", "dev")
	if n, ok := o["prio"].(json.Number); ok {
		p, err := n.Int64()
		if h.Priority = int(p); err != nil {
			h.Unread += " priority " + n.String()
		}
	} else {
		h.Unread += " priority " + asJSON(o["prio"])
	}
	c.Hook = h
	return nil
}

func (r *jsonReader) addSet(t *Table, isMap bool, o map[string]any, line int) error {
	s := &Set{Name: jsonText(o["name"]), Map: isMap, Comment: jsonText(o["comment"]), Flags: jsonTexts(o["flags"]), AutoMerge: o["auto-merge"] == true, Line: line}
	if s.Name == "" {
		return errors.New("it has no name")
	}
	s.Key, s.Typeof = jsonType(o["type"])
	if isMap {
		value, _ := jsonType(o["map"])
		s.Value = strings.Join(value, " . ")
	}
	if n, ok := o["size"].(json.Number); ok {
		size, err := n.Int64()
		if err != nil {
			return fmt.Errorf("its size is %s", n)
		}
		s.Size = int(size)
	}
	s.Unread = otherKeys(o, "family", "table", "name", "comment", "handle", "flags", "type", "map", "size", "elem", "policy", "auto-merge")
	list, ok := o["elem"].([]any)
	if !ok && o["elem"] != nil {
		s.Unread += " elem"
	}
	kind := s.valueKinds()
	for _, e := range list {
		s.Elements = append(s.Elements, r.element(e, isMap, kind, int32(line)))
	}
	t.Sets = append(t.Sets, s)
	return nil
}

// jsonType are the parts of a set's key, or of what a map maps to, and whether they are
// selectors.
func jsonType(v any) (parts []string, selectors bool) {
	o, ok := v.(map[string]any)
	if !ok {
		return jsonTexts(v), false
	}
	if of, ok := o["typeof"]; ok && len(o) == 1 {
		e := (&jsonReader{}).expr(of, 0)
		if e.Kind != Concat {
			return []string{string(e.append(nil))}, true
		}
		for i := range e.Args {
			parts = append(parts, string(e.Args[i].append(nil)))
		}
		return parts, true
	}
	return []string{asJSON(v)}, false
}

// element is an element of a set, or of a map: [key, value].
func (r *jsonReader) element(v any, isMap bool, kind []valueKind, line int32) Element {
	e := Element{Line: line}
	if pair, ok := v.([]any); isMap && ok && len(pair) == 2 {
		v = pair[0]
		if e.Verdict = jsonVerdict(pair[1]); e.Verdict == nil {
			e.Unread = ": " + r.words(pair[1])
		}
	} else if isMap {
		e.Unread = ": not a pair"
	}
	if o, ok := v.(map[string]any); ok && len(o) == 1 {
		if in, ok := o["elem"].(map[string]any); ok {
			v = in["val"]
			e.Unread = strings.TrimSpace(otherKeys(in, "val", "comment") + " " + e.Unread)
		}
	}
	e.Key = r.expr(v, 0)
	e.Key.writeAs(kind...)
	if e.Key.Kind == Value && e.Key.Text == "*" {
		e.Key = Expr{Kind: Any}
	}
	return e
}

// jsonVerdict is a verdict, or nil for something else.
func jsonVerdict(v any) *Verdict {
	o, ok := v.(map[string]any)
	if !ok || len(o) != 1 {
		return nil
	}
	for kind, word := range verdictWords {
		arg, ok := o[word]
		if !ok {
			continue
		}
		d := &Verdict{Kind: VerdictKind(kind)}
		if d.Kind != Jump && d.Kind != Goto {
			return d
		}
		if to, ok := arg.(map[string]any); ok && onlyKeys(to, "target") {
			d.Chain = jsonText(to["target"])
		}
		if d.Chain == "" {
			return nil
		}
		return d
	}
	return nil
}

func (r *jsonReader) addRule(t *Table, o map[string]any, line int) error {
	c := t.Chain(jsonText(o["chain"]))
	if c == nil {
		return fmt.Errorf("the chain %s is not in the list", jsonText(o["chain"]))
	}
	r.table, r.line = t, line
	rule := &Rule{Comment: jsonText(o["comment"]), Line: line}
	list, ok := o["expr"].([]any)
	if !ok {
		rule.Statements = append(rule.Statements, &Foreign{Text: "expr " + asJSON(o["expr"])})
	}
	for _, s := range list {
		rule.Statements = append(rule.Statements, r.statement(s))
	}
	if left := otherKeys(o, "family", "table", "chain", "handle", "index", "comment", "expr"); left != "" {
		rule.Statements = append([]Statement{&Foreign{Text: left}}, rule.Statements...)
	}
	rule.Text = string(appendRule(nil, rule))
	c.Rules = append(c.Rules, rule)
	return nil
}

// markDynamic marks the sets that rules add to.
func (r *jsonReader) markDynamic() {
	for _, f := range r.fills {
		if s := f.table.Set(f.name); s != nil && !s.Has("dynamic") {
			s.Flags = append(s.Flags, "dynamic")
		}
	}
}

// ruleAt is the text of a rule that was read from JSON, by its place in the list.
func (f *File) ruleAt(line int) string {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			i, ok := slices.BinarySearchFunc(c.Rules, line, func(r *Rule, line int) int { return r.Line - line })
			if ok {
				return c.Rules[i].Text
			}
		}
	}
	return ""
}
