// Package editor answers what an editor asks about a policy while it is typed. It knows
// files, bytes and ranges, and nothing of the protocol by which it is asked.
//
//	policy.go    a policy as its files stand, also where they have mistakes
//	tree.go      the blocks and attributes of a file, HCL or JSON
//	names.go     where names are defined, and where they are used
//	cursor.go    what stands around the cursor, in a text that need not parse
//	complete.go  what may be written at the cursor
//	hover.go     what the text under the cursor means
//	reach.go     who reaches a policy
//	mentions.go  which blocks mention an address
//	rename.go    another name in all places
//	fixes.go     changes that fix a finding
//	symbols.go   an outline
package editor
