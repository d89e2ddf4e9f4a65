// Package schema is the policy language: HCL text in, a typed document out,
// every value with its place.
//
// Load reads a path's files, evaluates them and checks all that can be said of
// a policy without knowing what it is compiled to. It works in this order,
// and each step has a file:
//
//	read.go       a path to the bytes of its policy files
//	variables.go  variable blocks and the values given from outside
//	evaluate.go   locals and sets in the order of their dependence
//	decode.go     a block to a typed value: host, guard, policy, forward, test
//	sources.go    one expression to a list of sources
//	listfile.go   one list file to a list of sources, at a text file's speed
//	overlap.go    which policies claim the same port
//
// It gathers every mistake of a run before it gives up. It knows nothing of
// iptables but for the limits that names must keep to survive there.
package schema
