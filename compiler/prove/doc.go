// Package prove decides, over all packets and not by samples, whether a rules
// file implements a policy, and what a change means. It reads the file with the
// rule reader, shares no code with the lowering, and can so find the lowering
// wrong.
//
//	compare.go   does a table implement a policy?
//	stricter.go  differences that open nothing
//	limit.go     questions that take too long, and the rule that makes them hard
//	changes.go   what changes for whom between two sides
//	scopes.go    which policy's scope a packet is in
//	reach.go     who reaches a port, by a policy or by a table
//	policytest.go a policy's test blocks
//
// # How it works
//
// Two functions from packets to verdicts are built, one from the policy
// (package meaning), one from the file's chains (package iptables). Both have
// the same form, a decision diagram (package diagram). Equal functions are the
// same node: that comparison is the proof. Where they are not, a walk through
// both returns the packets that differ, as boxes.
//
// # What cannot be decided
//
// A match that package match does not know cannot be evaluated. A rule with one
// yields a set of possible verdicts instead of one; where the possible verdicts
// agree the packet is decided all the same, and where they do not the answer
// says so, and names the rule. Nothing is guessed.
package prove
