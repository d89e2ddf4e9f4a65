package lsp

import (
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/seawall/seawall/compiler/editor"
	"github.com/seawall/seawall/schema"
)

// policy is a policy of which a file is open.
type policy struct {
	path string
	// The server's lock is for these.
	edition int  // counts its changes
	dirty   bool // nobody has published this edition
	linting bool // somebody works its findings out

	took time.Duration // that the last findings took; for who works them out

	// The server's publishing lock is for these.
	shown map[string]bool // files with published diagnostics
	gone  bool            // no file of it is open any more

	reading sync.Mutex // held while it is read, for the last of these
	read    reading
}

// reading is a policy as it was read.
type reading struct {
	*editor.Policy
	edition   int
	versions  map[string]int32 // of all open files
	open      []string         // those of them that are this policy's
	elsewhere map[string]bool  // those that are another's
	findings  chan struct{}    // closed when they are known
}

// policy returns the policy of a path, which it makes if it is new. The caller has the lock.
func (s *server) policy(path string) *policy {
	x := s.policies[path]
	if x == nil {
		x = &policy{path: path, shown: map[string]bool{}}
		s.policies[path] = x
	}
	return x
}

// changed makes a policy be read and published again. The caller has the lock.
func (s *server) changed(x *policy) {
	x.edition++
	x.dirty = true
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// closed is changed for a policy of which a file was closed: with the last of them it is
// forgotten, and its diagnostics go. The caller has the lock.
func (s *server) closed(path string) {
	x := s.policies[path]
	if x == nil {
		return
	}
	for open := range s.documents {
		if filepath.Dir(open) == path || open == path {
			s.changed(x)
			return
		}
	}
	delete(s.policies, path)
	go s.clear(x)
}

func (s *server) allChanged() {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, x := range s.policies {
		s.changed(x)
	}
}

// current reads a policy as the texts are now, unless it was read already.
func (s *server) current(x *policy) reading {
	x.reading.Lock()
	defer x.reading.Unlock()
	s.lock.Lock()
	edition, opt := x.edition, s.options(x.path)
	if x.read.Policy != nil && x.read.edition == edition {
		s.lock.Unlock()
		return x.read
	}
	r := reading{edition: edition, versions: s.versions(), elsewhere: map[string]bool{}, findings: make(chan struct{})}
	for _, file := range slices.Sorted(maps.Keys(r.versions)) {
		if !schema.IsPolicyFile(filepath.Base(file)) {
			continue
		}
		if s.belongs(file) == x.path {
			r.open = append(r.open, file)
		} else {
			r.elsewhere[file] = true
		}
	}
	s.lock.Unlock()
	r.Policy = editor.Read(x.path, opt)
	x.read = r
	return r
}

// of returns the policy that an open file belongs to; none for a file that is not open, or
// is some other program's.
func (s *server) of(path string) (reading, *document, bool) {
	s.lock.Lock()
	d := s.documents[path]
	if d == nil {
		s.lock.Unlock()
		return reading{}, nil, false
	}
	x := s.policies[s.belongs(path)]
	s.lock.Unlock()
	if x == nil {
		return reading{}, nil, false
	}
	r := s.current(x)
	src, ok := r.Text(path)
	if !ok || r.foreign() {
		return reading{}, nil, false
	}
	return r, &document{newText(src), d.uri, d.version}, true
}
