// Package oracle evaluates iptables rules the slow and obvious way, so that
// the prover can be judged by something that shares no code with it.
//
// It reads the text of an iptables-save or iptables-restore file, walks the
// rules of table filter as the kernel does, one packet at a time, and returns
// every verdict that is possible. A match that it cannot evaluate is followed
// both ways; a target that it does not know may do anything. It also makes
// random rule files in the style of those that people and tools write, and
// random packets that are likely to hit their rules.
//
// The facts come from the manual pages iptables(8), iptables-extensions(8) and
// ipset(8), from the kernel's net/netfilter/xt_*.c, and from iptables 1.8.9
// with both back ends. Where the back ends disagree, a match is not evaluable.
package oracle
