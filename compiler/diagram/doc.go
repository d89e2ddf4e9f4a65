// Package diagram has decision diagrams over packets: functions from a product
// of ordered properties to a leaf. It knows neither policies nor iptables; a
// property is a number from 0 on with a largest value, and a leaf is a set of
// bits that mean something to the caller.
//
//	value.go    points, spans and sets of one property
//	box.go      products of sets
//	diagram.go  nodes, each content once; overlay and relabel
//	starts.go   where the intervals of a node begin
//	build.go    a list of boxes, of which the first that decides counts
//	sources.go  the same for the last property alone, by one sweep
//	compare.go  where two diagrams disagree
//	limit.go    what a question may cost
//
// # How it works
//
// A node splits the values of its property into intervals, each with the
// diagram that decides the rest; properties are asked for in a fixed order.
// Equal nodes are one node (they are kept in a table by their content) and
// neighbours with the same rest are one interval, so two functions are equal
// exactly when they are the same node: that comparison is the proof.
//
// # Why it is fast
//
// The last property is the source address, because nearly all of a large file
// is sources. Steps that differ in nothing else are taken together, as one
// sorted partition, by one sweep: a list of n sources costs n log n, not n
// rounds over a growing diagram.
//
// # Why it ends
//
// A diagram can be as large as the product of what its properties tell apart,
// and rules that others wrote can ask for that. Every step of the work is
// counted, and past the limit, or when the context is done, the work is given
// up with an error (limit.go). The count does not depend on the machine's
// speed, so neither does the answer.
package diagram
