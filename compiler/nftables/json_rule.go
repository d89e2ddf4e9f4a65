package nftables

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// statement reads a statement of a rule: an object with one key.
func (r *jsonReader) statement(v any) Statement {
	o, ok := v.(map[string]any)
	if !ok || len(o) != 1 {
		return &Foreign{Text: r.words(v)}
	}
	if d := jsonVerdict(v); d != nil {
		return d
	}
	for kind, arg := range o {
		args, _ := arg.(map[string]any)
		var s Statement
		switch kind {
		case "match":
			s = r.match(args)
		case "vmap":
			s = r.lookup(args)
		case "mangle":
			s = r.assign(args)
		case "reject":
			s = jsonReject(arg, r.table.Family)
		case "limit":
			s = jsonLimit(arg)
		case "log":
			s = jsonLog(arg)
		case "counter":
			s = jsonCounter(arg)
		case "quota":
			if name := jsonText(arg); name != "" {
				return &Limit{Text: "quota name " + quote(name)}
			}
			s = jsonQuota(args)
		case "ct count":
			s = jsonCount(args)
		case "last":
			return &Note{Text: strings.TrimSpace("last " + r.words(arg))}
		case "notrack":
			return &Note{Text: "notrack"}
		case "set", "map":
			s = r.fill(args)
		}
		if s != nil {
			return s
		}
	}
	return &Foreign{Text: r.words(v)}
}

// jsonOperators are those of a match. "in" is what JSON says where none is written.
var jsonOperators = []string{"==", "!=", "<", "<=", ">", ">="}

// bitSelectors are the selectors whose values are bits: for them "==" is not the same as no
// operator.
var bitSelectors = []string{"ct state", "ct status", "ct label", "ct event", "tcp flags"}

func (r *jsonReader) match(o map[string]any) Statement {
	if !onlyKeys(o, "op", "left", "right") || len(o) != 3 {
		return nil
	}
	m := &Match{Op: jsonText(o["op"]), Left: r.expr(o["left"], 0), Right: r.expr(o["right"], 0)}
	m.Right.writeAs(m.Left.valueKinds()...)
	m.Left.writeOwn()
	if m.Left.Kind == Binary { // of a mask: tcp flags & (fin | syn) == syn
		m.Left.Args[1].asBits()
		m.Right.asBits()
	}
	switch {
	case m.Op == "in":
		m.Op = ""
	case m.Op == "!" && slices.Contains(bitSelectors, m.Left.Text) && (m.Right.Kind == Value || m.Right.Kind == Flags):
		return none(m.Left, m.Right)
	case !slices.Contains(jsonOperators, m.Op):
		return &Foreign{Text: fmt.Sprintf("%s %s %s", m.Left.append(nil), m.Op, m.Right.append(nil))}
	case m.Op != "==" || m.Left.Kind == Binary:
	case m.Left.Kind == Selector && slices.Contains(bitSelectors, m.Left.Text) && m.Right.Kind != Literal && m.Right.Kind != Named:
	default:
		m.Op = ""
	}
	return m
}

func (r *jsonReader) lookup(o map[string]any) Statement {
	if !onlyKeys(o, "key", "data") || len(o) != 2 {
		return nil
	}
	l := &Lookup{Key: r.expr(o["key"], 0), Map: r.expr(o["data"], 0)}
	if data, ok := o["data"].(map[string]any); ok {
		list, ok := data["set"].([]any)
		if !ok {
			return nil
		}
		l.Map = r.literal(list, true)
	}
	l.Map.writeAs(l.Key.valueKinds()...)
	if l.Map.Kind != Named && l.Map.Kind != Literal {
		return nil
	}
	return l
}

func (r *jsonReader) assign(o map[string]any) Statement {
	if !onlyKeys(o, "key", "value") || len(o) != 2 {
		return nil
	}
	a := &Assign{Left: r.expr(o["key"], 0), Right: r.expr(o["value"], 0)}
	if a.Left.Kind != Selector {
		return nil
	}
	a.Right.writeAs(a.Left.valueKinds()...)
	return a
}

// jsonReject is nil for what it does not know. The text has no port-unreachable where
// that is the answer to all packets of the table: icmp in a table of inet is a reject of
// IPv4 alone.
func jsonReject(v any, f Family) Statement {
	o, ok := v.(map[string]any)
	kind, code := jsonText(o["type"]), jsonText(o["expr"])
	switch {
	case v == nil:
		return &Reject{}
	case !ok || !onlyKeys(o, "type", "expr"):
		return nil
	case kind == "tcp reset" && code == "":
		return &Reject{With: kind}
	case kind != "icmp" && kind != "icmpv6" && kind != "icmpx" || code == "":
		return nil
	case code == "port-unreachable" && (kind == "icmpx" || f == IP || f == IP6):
		return &Reject{}
	}
	return &Reject{With: kind + " " + code}
}

func jsonLimit(v any) Statement {
	if name := jsonText(v); name != "" {
		return &Limit{Text: "limit name " + quote(name)}
	}
	o, ok := v.(map[string]any)
	if !ok || !onlyKeys(o, "rate", "burst", "per", "inv", "rate_unit", "burst_unit") {
		return nil
	}
	words := "limit rate "
	if o["inv"] == true {
		words += "over "
	}
	words += jsonText(o["rate"])
	unit := jsonText(o["rate_unit"])
	if unit != "" && unit != "packets" {
		words += " " + unit
	}
	words += "/" + jsonText(o["per"])
	if burst := jsonText(o["burst"]); burst != "" && burst != "0" {
		if unit = jsonText(o["burst_unit"]); unit == "" {
			unit = "packets"
		}
		words += " burst " + burst + " " + unit
	}
	return &Limit{Text: words}
}

// jsonQuota matches up to so many bytes, or beyond them.
func jsonQuota(o map[string]any) Statement {
	if !onlyKeys(o, "val", "val_unit", "inv", "used", "used_unit") || o["val"] == nil {
		return nil
	}
	words := "quota "
	if o["inv"] == true {
		words += "over "
	}
	words += jsonText(o["val"]) + " " + jsonText(o["val_unit"])
	if used := jsonText(o["used"]); used != "" {
		words += " used " + used + " " + jsonText(o["used_unit"])
	}
	return &Limit{Text: words}
}

// jsonCount matches so many connections at a time.
func jsonCount(o map[string]any) Statement {
	if !onlyKeys(o, "val", "inv") || o["val"] == nil {
		return nil
	}
	words := "ct count "
	if o["inv"] == true {
		words += "over "
	}
	return &Limit{Text: words + jsonText(o["val"])}
}

func jsonLog(v any) Statement {
	o, ok := v.(map[string]any)
	if v == nil {
		return &Log{}
	}
	if !ok || !onlyKeys(o, "prefix", "group", "snaplen", "queue-threshold", "level", "flags") {
		return nil
	}
	var words []string
	for _, key := range []string{"group", "snaplen", "queue-threshold", "level"} {
		if value := jsonText(o[key]); value != "" {
			words = append(words, key+" "+value)
		}
	}
	flags := jsonTexts(o["flags"])
	if slices.Contains(flags, "tcp sequence") {
		if at := slices.Index(flags, "tcp options"); at >= 0 {
			flags[slices.Index(flags, "tcp sequence")] = "tcp sequence,options"
			flags = slices.Delete(flags, at, at+1)
		}
	}
	for _, f := range flags {
		words = append(words, "flags "+f)
	}
	return &Log{Prefix: jsonText(o["prefix"]), Text: strings.Join(words, " ")}
}

func jsonCounter(v any) Statement {
	if name := jsonText(v); name != "" {
		return &Note{Text: "counter name " + quote(name)}
	}
	o, ok := v.(map[string]any)
	switch {
	case v == nil:
		return &Note{Text: "counter"}
	case !ok || !onlyKeys(o, "packets", "bytes"):
		return nil
	}
	return &Note{Text: "counter packets " + jsonText(o["packets"]) + " bytes " + jsonText(o["bytes"])}
}

// fill is a statement that adds to a set, or deletes from it.
func (r *jsonReader) fill(o map[string]any) Statement {
	name := strings.TrimPrefix(jsonText(o["set"]), "@")
	if name == "" {
		name = strings.TrimPrefix(jsonText(o["map"]), "@")
	}
	if name == "" {
		return nil
	}
	r.fills = append(r.fills, jsonFill{r.table, name})
	more := map[string]any{} // what is said beyond the element
	for k, v := range o {
		if !slices.Contains([]string{"op", "set", "map", "elem"}, k) {
			more[k] = v
		}
	}
	of := o["elem"]
	if e, ok := of.(map[string]any); ok && len(e) == 1 {
		if in, ok := e["elem"].(map[string]any); ok {
			maps.Copy(more, in)
			of = in["val"]
		}
	}
	words := strings.TrimSpace(r.words(of) + " " + otherKeys(more, "val"))
	return &Foreign{Text: fmt.Sprintf("%s @%s { %s }", jsonText(o["op"]), name, words)}
}

// words are the words of something in a text that nobody reads as rules.
func (r *jsonReader) words(v any) string {
	if v == nil {
		return ""
	}
	if s, ok := v.(string); ok {
		return strings.Join(strings.Fields(s), " ")
	}
	e := r.expr(v, 0)
	return string(e.append(nil))
}

// jsonDepth is how deep expressions may be nested.
const jsonDepth = 100

// expr reads an expression. What it does not know is Other, with the JSON as text.
func (r *jsonReader) expr(v any, depth int) Expr {
	if depth > jsonDepth {
		return Expr{Kind: Other, Text: "..."}
	}
	switch v := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(v, "@"); ok && r.table != nil && r.table.Set(name) != nil {
			return Ref(name)
		}
		return Const(v)
	case json.Number:
		return Const(v.String())
	case bool:
		return Const(map[bool]string{false: "missing", true: "exists"}[v])
	case []any:
		return Expr{Kind: Flags, Args: r.exprs(v, depth)}
	case map[string]any:
		if len(v) == 1 {
			for kind, arg := range v {
				if e, ok := r.known(kind, arg, depth); ok {
					return e
				}
			}
		}
	}
	return Expr{Kind: Other, Text: asJSON(v)}
}

func (r *jsonReader) exprs(list []any, depth int) []Expr {
	all := make([]Expr, 0, len(list))
	for _, v := range list {
		all = append(all, r.expr(v, depth+1))
	}
	return all
}

// literal reads an anonymous set, or with pairs a map.
func (r *jsonReader) literal(list []any, pairs bool) Expr {
	e := Expr{Kind: Literal}
	for _, v := range list {
		e.Set = append(e.Set, r.element(v, pairs, nil, int32(r.line)))
	}
	return e
}

// known reads an expression of a kind.
func (r *jsonReader) known(kind string, arg any, depth int) (Expr, bool) {
	list, isList := arg.([]any)
	switch kind {
	case "concat":
		return Expr{Kind: Concat, Args: r.exprs(list, depth)}, isList && len(list) > 0
	case "range":
		return Expr{Kind: Range, Args: r.exprs(list, depth)}, isList && len(list) == 2
	case "set":
		if !isList {
			list = []any{arg}
		}
		return r.literal(list, false), arg != nil
	case "&", "|", "^", "<<", ">>":
		if !isList || len(list) < 2 {
			return Expr{}, false
		}
		args := r.exprs(list, depth)
		if kind == "|" && !slices.ContainsFunc(args, func(e Expr) bool { return e.Kind != Value }) {
			return Expr{Kind: Flags, Args: args}, true // bits by name: 1.0.6 has a list
		}
		e := args[0]
		for _, a := range args[1:] {
			e = Expr{Kind: Binary, Op: kind, Args: []Expr{e, a}}
		}
		return e, true
	}
	o, ok := arg.(map[string]any)
	if !ok {
		return Expr{}, false
	}
	if kind == "prefix" {
		bits, err := strconv.ParseInt(jsonText(o["len"]), 10, 16)
		return Expr{Kind: Prefix, Text: jsonText(o["addr"]), Bits: int16(bits)}, err == nil && jsonText(o["addr"]) != "" && onlyKeys(o, "addr", "len")
	}
	name := jsonSelector(kind, o)
	return Select(name), name != ""
}

// unqualified are the keys of meta that nft writes without the word.
var unqualified = []string{"iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"}

// jsonSelector is the name of a selector as nft lists it, or "".
func jsonSelector(kind string, o map[string]any) string {
	key, dir := jsonText(o["key"]), jsonText(o["dir"])
	switch kind {
	case "meta":
		switch {
		case key == "" || !onlyKeys(o, "key"):
			return ""
		case slices.Contains(unqualified, key):
			return key
		}
		return "meta " + key
	case "ct":
		switch {
		case key == "" || !onlyKeys(o, "key", "dir"):
			return ""
		case dir != "":
			return "ct " + dir + " " + key
		}
		return "ct " + key
	case "payload":
		switch {
		case onlyKeys(o, "protocol", "field") && len(o) == 2:
			return jsonText(o["protocol"]) + " " + jsonText(o["field"])
		case onlyKeys(o, "base", "offset", "len") && len(o) == 3:
			return "@" + jsonText(o["base"]) + "," + jsonText(o["offset"]) + "," + jsonText(o["len"])
		}
	case "exthdr":
		switch {
		case onlyKeys(o, "name") && len(o) == 1:
			return "exthdr " + jsonText(o["name"])
		case onlyKeys(o, "name", "field") && len(o) == 2:
			return jsonText(o["name"]) + " " + jsonText(o["field"])
		}
	case "tcp option":
		if onlyKeys(o, "name", "field") && o["name"] != nil {
			return strings.TrimSpace("tcp option " + jsonText(o["name"]) + " " + jsonText(o["field"]))
		}
	case "fib":
		if onlyKeys(o, "result", "flags") && len(o) == 2 {
			return "fib " + strings.Join(jsonTexts(o["flags"]), " . ") + " " + jsonText(o["result"])
		}
	case "rt":
		if onlyKeys(o, "key", "family") && key != "" {
			return "rt " + strings.TrimSpace(jsonText(o["family"])+" "+key)
		}
	case "socket":
		if onlyKeys(o, "key") && key != "" {
			return "socket " + key
		}
	}
	return ""
}

// valueKind is how the constants that a selector is compared with are written.
type valueKind uint8

const (
	bare         valueKind = iota
	inQuotes               // in quotes
	nameInQuotes           // in quotes where it is no number
	inHex                  // eight digits, hexadecimal
)

func valueKindOf(name string) valueKind {
	switch name {
	case "iifname", "oifname", "ifname", "ct helper", "meta time", "meta hour", "meta day":
		return inQuotes
	case "iif", "oif", "iface_index", "meta rtclassid":
		return nameInQuotes
	case "meta mark", "ct mark", "mark":
		return inHex
	}
	return bare
}

// valueKinds are the kinds of a set's key, one for each part.
func (s *Set) valueKinds() []valueKind {
	var list []valueKind
	for _, k := range s.Key {
		list = append(list, valueKindOf(k))
	}
	return list
}

// valueKinds are the kinds of the constants that an expression is compared with.
func (e *Expr) valueKinds() []valueKind {
	switch e.Kind {
	case Selector:
		return []valueKind{valueKindOf(e.Text)}
	case Binary:
		return e.Args[0].valueKinds()
	case Concat:
		var list []valueKind
		for i := range e.Args {
			list = append(list, valueKindOf(e.Args[i].Text))
		}
		return list
	}
	return nil
}

// asBits writes a list of bits as an operation, as the text of nft 1.1 has it.
func (e *Expr) asBits() {
	if e.Kind != Flags || len(e.Args) == 0 {
		return
	}
	all := e.Args[0]
	for _, a := range e.Args[1:] {
		all = Expr{Kind: Binary, Op: "|", Args: []Expr{all, a}}
	}
	*e = all
}

// writeOwn writes the constants of an operation on a selector, such as a mask.
func (e *Expr) writeOwn() {
	if e.Kind == Binary {
		e.Args[1].writeAs(e.valueKinds()...)
		e.Args[0].writeOwn()
	}
}

// writeAs writes the constants of an expression as nft's text has them, where JSON does
// not: interfaces in quotes, marks in hexadecimal.
func (e *Expr) writeAs(kinds ...valueKind) {
	switch e.Kind {
	case Literal:
		for i := range e.Set {
			e.Set[i].Key.writeAs(kinds...)
		}
	case Concat:
		for i := range e.Args {
			if i < len(kinds) {
				e.Args[i].writeAs(kinds[i])
			}
		}
	case Range, Flags, Binary:
		for i := range e.Args {
			e.Args[i].writeAs(kinds...)
		}
	case Value:
		if len(kinds) != 1 {
			return
		}
		switch n, err := strconv.ParseUint(e.Text, 10, 32); {
		case kinds[0] == inHex && err == nil:
			e.Text = fmt.Sprintf("0x%08x", n)
		case kinds[0] == inQuotes, kinds[0] == nameInQuotes && err != nil:
			e.Quoted = true
		}
	}
}
