// Package prove decides, over all packets and not by samples, whether a rules
// file means a policy. It reads the file with the rule reader, shares no code
// with the lowering, and can so find the lowering wrong.
//
// # How it works
//
// Two functions from packets to verdicts are built, one from the policy,
// transcribed from DESIGN section 2 step by step (policy.go), one from the
// file's chains (chains.go). Both have the same form: a decision diagram
// (diagram.go) that asks for one property of the packet after the other, in a
// fixed order:
//
//	conntrack class, protocol, in, out, sport, dport, original port,
//	original address, destination, source
//
// A node splits its property's values into intervals, each with the diagram
// that decides the rest. Equal nodes are one node (they are kept in a table by
// their content) and neighbours with the same rest are one interval, so two
// functions are equal exactly when they are the same node: that comparison is
// the proof. Where they are not, a walk through both gives the packets that
// differ, as boxes (compare.go).
//
// # Why it is fast
//
// The source stands last, because nearly all of a large file is sources.
// Neighbouring rules that differ in nothing else are taken together, as one
// sorted partition of the address space, by one sweep (build.go). A linear
// list of n sources costs n log n, not n rounds over a growing diagram. A tree of
// chains over the sources is walked in place, each rule of it once
// (sourcechain.go). What an ipset holds is a partition as well (sets.go). The
// policy's lists are read while the rules are still being made (sources.go).
//
// # What cannot be decided
//
// A match that this package does not understand may hold or not. A rule with
// one yields a set of possible verdicts instead of one; where the possible
// verdicts agree the packet is decided all the same, and where they do not the
// answer says so, and names the rule. Nothing is guessed.
package prove
