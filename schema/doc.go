// Package schema is the policy language: it turns HCL text into a typed
// document in which every value has its source range.
//
// Load reads a path's files, evaluates them and makes every check that does not
// depend on what the policy is compiled to. It works in this order, and each
// step has a file:
//
//	read.go       a path to the bytes of its policy files
//	variables.go  variable blocks and the values given from outside
//	evaluate.go   locals and sets in the order of their dependence
//	decode.go     a block to a typed value: host, guard, policy, forward, test
//	sources.go    one expression to a list of sources
//	listfile.go   one list file to a list of sources, at a text file's speed
//	overlap.go    which policies claim the same port
//
// It collects every mistake of a run before it stops. It knows nothing of
// iptables except the limits that a name has to keep to there.
package schema
