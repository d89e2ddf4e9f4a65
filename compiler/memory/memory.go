// Package memory keeps what compilations of one policy for several hosts share: each works
// it out only if none has before. What is kept never decides what a file says or means,
// but only how soon that is known.
package memory

import "sync"

// Of keeps values by key, for any number of goroutines. A nil *Of keeps nothing.
type Of[K comparable, V any] struct {
	lock       sync.RWMutex
	known      map[K]V
	size, most int
}

// New returns an empty memory for values of most in all, in whatever unit Put is told.
func New[K comparable, V any](most int) *Of[K, V] {
	return &Of[K, V]{known: map[K]V{}, most: most}
}

// Get returns the value of a key; false if it is not kept.
func (m *Of[K, V]) Get(key K) (V, bool) {
	if m == nil {
		var none V
		return none, false
	}
	m.lock.RLock()
	defer m.lock.RUnlock()
	v, ok := m.known[key]
	return v, ok
}

// Put keeps a value of a size. Where it is too much, all others are forgotten first: hosts
// that share much are alike, and soon know it again.
func (m *Of[K, V]) Put(key K, value V, size int) {
	if m == nil || size > m.most {
		return
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.size += size; m.size > m.most {
		m.known, m.size = map[K]V{}, size
	}
	m.known[key] = value
}
