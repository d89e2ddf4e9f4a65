package lsp

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"github.com/seawall/seawall/compiler/editor"
	"github.com/seawall/seawall/schema"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
)

// document is a text that is open in the editor. It is never changed: an edit makes another.
type document struct {
	*text
	uri     uri.URI
	version int32
}

// pathOf is the path of a file that the editor names, "" for what is not a file.
func pathOf(u uri.URI) string {
	if !u.IsFile() {
		return ""
	}
	return filepath.Clean(u.FsPath())
}

// DidOpen takes the text of a file that was opened.
func (s *server) DidOpen(_ context.Context, p *protocol.DidOpenTextDocumentParams) error {
	d := p.TextDocument
	s.set(pathOf(d.URI), &document{newText([]byte(d.Text)), d.URI, d.Version})
	return nil
}

// DidChange applies the edits of an open file in their order.
func (s *server) DidChange(_ context.Context, p *protocol.DidChangeTextDocumentParams) error {
	path := pathOf(p.TextDocument.URI)
	d := s.document(path)
	if d == nil {
		return nil // it was never opened
	}
	t := d.text
	for _, change := range p.ContentChanges {
		t = t.edited(change)
	}
	s.set(path, &document{t, d.uri, p.TextDocument.Version})
	return nil
}

// edited is a text after an edit.
func (t *text) edited(change protocol.TextDocumentContentChangeEvent) *text {
	switch c := change.(type) {
	case *protocol.TextDocumentContentChangeWholeDocument:
		return newText([]byte(c.Text))
	case *protocol.TextDocumentContentChangePartial:
		from, to := t.offset(c.Range.Start), t.offset(c.Range.End)
		to = max(from, to)
		src := make([]byte, 0, len(t.src)-(to-from)+len(c.Text))
		src = append(append(append(src, t.src[:from]...), c.Text...), t.src[to:]...)
		return newText(src)
	}
	return t
}

// DidSave looks again at what the file belongs to: other files may have changed as well.
func (s *server) DidSave(context.Context, *protocol.DidSaveTextDocumentParams) error {
	s.allChanged()
	return nil
}

// DidClose forgets the text of a file. What is on the disk counts again.
func (s *server) DidClose(_ context.Context, p *protocol.DidCloseTextDocumentParams) error {
	s.set(pathOf(p.TextDocument.URI), nil)
	return nil
}

// DidChangeWatchedFiles looks again at every policy.
func (s *server) DidChangeWatchedFiles(context.Context, *protocol.DidChangeWatchedFilesParams) error {
	s.allChanged()
	return nil
}

func (s *server) document(path string) *document {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.documents[path]
}

// set puts a document in the place of another; nil closes it.
func (s *server) set(path string, d *document) {
	if path == "" {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	before := s.belongs(path)
	if d != nil {
		s.documents[path] = d
	} else {
		delete(s.documents, path)
	}
	after := s.belongs(path)
	switch {
	case !schema.IsPolicyFile(filepath.Base(path)): // a list or a variable file, of any policy
		for _, x := range s.policies {
			s.changed(x)
		}
	case d == nil:
		s.closed(before)
		s.closed(after)
	default:
		if x := s.policies[before]; x != nil && before != after {
			s.changed(x)
		}
		s.changed(s.policy(after))
	}
}

// belongs is the policy that a file belongs to, as the texts are now.
func (s *server) belongs(path string) string { return editor.PathOf(path, s.options(path)) }

// options are how the policy of a path is read at this moment. Variable files that the editor
// names are relative to the folder that is open around it.
func (s *server) options(path string) schema.Options {
	opt := s.reading
	opt.VarFiles = slices.Clone(s.given.VarFiles)
	for _, file := range s.settings.VarFiles {
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.folderOf(path), file)
		}
		opt.VarFiles = append(opt.VarFiles, file)
	}
	opt.Unsaved = make(map[string][]byte, len(s.documents))
	for path, d := range s.documents {
		opt.Unsaved[path] = d.src
	}
	return opt
}

// versions are those of the open texts.
func (s *server) versions() map[string]int32 {
	list := map[string]int32{}
	for path, d := range maps.All(s.documents) {
		list[path] = d.version
	}
	return list
}
