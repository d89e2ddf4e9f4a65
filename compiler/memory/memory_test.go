package memory_test

import (
	"sync"
	"testing"

	"github.com/seawall/seawall/compiler/memory"
)

func TestForgetsBeyondItsSize(t *testing.T) {
	m := memory.New[int, string](10)
	m.Put(1, "one", 4)
	m.Put(2, "two", 6)
	if v, ok := m.Get(1); !ok || v != "one" {
		t.Errorf("1 is %q, %t", v, ok)
	}
	m.Put(3, "three", 1)
	if _, ok := m.Get(1); ok {
		t.Error("1 is kept beyond the size")
	}
	if v, ok := m.Get(3); !ok || v != "three" {
		t.Errorf("3 is %q, %t", v, ok)
	}
	m.Put(4, "too large", 11)
	if _, ok := m.Get(4); ok {
		t.Error("4 is kept")
	}
	if _, ok := m.Get(3); !ok {
		t.Error("3 was forgotten for what is not kept")
	}
}

func TestNilKeepsNothing(t *testing.T) {
	var m *memory.Of[int, int]
	m.Put(1, 1, 1)
	if _, ok := m.Get(1); ok {
		t.Error("nil keeps 1")
	}
}

func TestManyAtOnce(t *testing.T) {
	m := memory.New[int, int](50)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				m.Put(i, 2*i, 1)
				if v, ok := m.Get(i); ok && v != 2*i {
					t.Errorf("%d is %d", i, v)
				}
			}
		})
	}
	all.Wait()
}
