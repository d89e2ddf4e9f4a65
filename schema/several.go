package schema

import (
	"os"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// Several loads one policy with the variables of several hosts. Its files and its list
// files are read and parsed once; each host costs only what its variables change. Load
// may be called from several goroutines.
type Several struct {
	opt    Options
	names  []string
	files  []*hcl.File
	all    map[string]*hcl.File // the same, and those that could not be parsed
	diags  hcl.Diagnostics
	shared *Lists
}

// NewSeveral reads the policy at a path, as Load does, but for what depends on variables.
// Mistakes are those of each Load.
func NewSeveral(path string, opt Options) *Several {
	l := newLoader(opt)
	diags := l.read(path)
	return &Several{opt: opt, names: l.names, files: l.files, all: l.parser.Files(), diags: diags, shared: &Lists{fixed: true}}
}

// Load is Load for a host with more variable files than the options have.
func (s *Several) Load(varFiles ...string) (*Loaded, hcl.Diagnostics) {
	opt := s.opt
	opt.VarFiles = append(append([]string{}, s.opt.VarFiles...), varFiles...)
	l := &loader{parser: hclparse.NewParser(), opt: opt, names: s.names, files: s.files, lists: map[string]*List{}, shared: s.shared}
	for name, f := range s.all {
		l.parser.AddFile(name, f)
	}
	return l.load(append(hcl.Diagnostics{}, s.diags...))
}

// Lists are list files that several loads read. Each is read again only after it changed.
// The zero value is empty and ready; a nil *Lists keeps nothing. It may be used from several
// goroutines.
type Lists struct {
	lock  sync.Mutex
	lists map[string]*readList
	// fixed says that files do not change while it is used, and are not looked at again.
	fixed bool
}

// readList is a list file that was read, with its mistakes, which belong to each load.
type readList struct {
	list  *List
	src   []byte // as messages show it
	diags hcl.Diagnostics
	stamp stamp
}

// stamp is how a file looked when it was read. The zero stamp is that of a text that is not
// kept.
type stamp struct {
	size    int64
	changed time.Time
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

// get returns the list file of a path, which read reads the first time. The error of one
// that cannot be read is not kept.
func (s *Lists) get(path string, read func() (*readList, error)) (*readList, error) {
	if s == nil {
		return read()
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	now := stamp{}
	if !s.fixed {
		now = stampOf(path)
	}
	if x := s.lists[path]; x != nil && x.stamp == now && (s.fixed || now != stamp{}) {
		return x, nil
	}
	x, err := read()
	if err == nil {
		if s.lists == nil {
			s.lists = map[string]*readList{}
		}
		x.stamp = now
		s.lists[path] = x
	}
	return x, err
}
