package prove

import (
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
)

// Functions are the two verdict functions of a comparison, for tests that ask
// them packet by packet.
type Functions struct {
	d            *diagrams
	policy, file map[Hook]ref
}

// NewFunctions builds both functions.
func NewFunctions(doc *schema.Document, t *iptables.Table, family packet.Family, extra ...string) (*Functions, error) {
	patterns := append(policyPatterns(doc), filePatterns(t)...)
	f := &Functions{d: newDiagrams(newSpace(family, append(patterns, extra...))), policy: map[Hook]ref{}, file: map[Hook]ref{}}
	for _, hook := range []Hook{Forward, Input} {
		file, err := f.d.file(t, hook)
		if err != nil {
			return nil, err
		}
		f.file[hook] = file
		f.policy[hook] = f.d.policy(doc, hook, newSourceSets(f.d.family))
	}
	return f, nil
}

// Policy is the policy's verdict in words.
func (f *Functions) Policy(p Packet) string {
	v := f.d.values(p)
	return words(f.d.eval(f.policy[p.Hook], &v))
}

// File is the file's verdict in words.
func (f *Functions) File(p Packet) string {
	v := f.d.values(p)
	return words(f.d.eval(f.file[p.Hook], &v))
}
