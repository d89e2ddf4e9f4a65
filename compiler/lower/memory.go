package lower

import (
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/memory"
	"github.com/seawall/seawall/compiler/packet"
)

// Memory is what the lowerings of several documents share: hosts have their long lists in
// common, and with them what is made of these.
type Memory struct {
	lists *address.Memory
	cuts  *memory.Of[memoryKey, pieces]
	text  *memory.Of[string, []byte] // of trees
}

// memoryKey is a clausesKey of one family.
type memoryKey struct {
	clauses string
	family  packet.Family
}

// NewMemory returns an empty memory, for some millions of sources.
func NewMemory() *Memory {
	return &Memory{address.NewMemory(), memory.New[memoryKey, pieces](4 << 20), memory.New[string, []byte](128 << 20)}
}

func (m *Memory) sources() *address.Memory {
	if m == nil {
		return nil
	}
	return m.lists
}

func (m *Memory) texts() *memory.Of[string, []byte] {
	if m == nil {
		return nil
	}
	return m.text
}

func (m *Memory) cut(key memoryKey) (pieces, bool) {
	if m == nil {
		return pieces{}, false
	}
	return m.cuts.Get(key)
}

func (m *Memory) keep(key memoryKey, p pieces) {
	if m != nil {
		m.cuts.Put(key, p, p.pieces.len())
	}
}
