package nftables

// Kind is the kind of an expression.
type Kind uint8

// The kinds of expressions.
const (
	// Other is an expression that the reader does not know. Text has its words.
	Other Kind = iota
	// Selector is something of a packet. Text has its name in full, as nft prints it:
	// "ip saddr", "tcp dport", "th dport", "iifname", "meta l4proto", "ct state",
	// "ct direction", "ct original ip daddr", "ct original proto-dst", "meta mark".
	// Of names for the same, it is the one that nft lists ("meta iifname" is
	// "iifname", "meta mark" stays).
	Selector
	// Value is a constant as written, without quotes: an address, a number, a
	// symbol or a name. What it means depends on what it is compared with.
	Value
	// Prefix is an address in Text and the length in Bits: 192.0.2.0/24. An interface
	// "eth*" is a Value with Text "eth*".
	Prefix
	// Range is from Args[0] to Args[1].
	Range
	// Concat is the parts in Args, joined by dots.
	Concat
	// Literal is an anonymous set: elements in Set.
	Literal
	// Flags is a list of values without braces: established,related.
	Flags
	// Named is a reference to the set or map in Text, without its @.
	Named
	// Binary is Args[0] Op Args[1], Op being &, |, ^, << or >>.
	Binary
	// Any is *, the element of a map that matches everything.
	Any
)

// Expr is an expression.
type Expr struct {
	Kind   Kind
	Quoted bool   // of a Value: it was written in quotes
	Bits   int16  // of a Prefix
	Op     string // of a Binary
	Text   string
	Args   []Expr
	Set    []Element // of a Literal
}

// Select, Const and Ref are the expressions that rules are mostly made of.
func Select(name string) Expr { return Expr{Kind: Selector, Text: name} }

// Const is a constant; see Select.
func Const(text string) Expr { return Expr{Kind: Value, Text: text} }

// Name is a constant in quotes, such as the name of an interface.
func Name(text string) Expr { return Expr{Kind: Value, Text: text, Quoted: true} }

// Ref is a reference to a named set or map.
func Ref(name string) Expr { return Expr{Kind: Named, Text: name} }
