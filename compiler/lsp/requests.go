package lsp

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/editor"
	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
)

// at is what a request about a place in a file is about.
type at struct {
	reading
	*document
	path   string
	offset int
}

func (s *server) at(p protocol.TextDocumentPositionParams) (at, bool) {
	path := pathOf(p.TextDocument.URI)
	r, d, ok := s.of(path)
	if !ok {
		return at{}, false
	}
	return at{r, d, path, d.offset(p.Position)}, true
}

// Completion answers textDocument/completion.
func (s *server) Completion(_ context.Context, p *protocol.CompletionParams) (protocol.CompletionResult, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	list, replaced := x.Complete(x.path, x.offset)
	s.lock.Lock()
	snippets := s.snippets
	s.lock.Unlock()
	items := protocol.CompletionItemSlice{}
	for _, c := range list {
		items = append(items, completionOf(c, x.rangeOf(replaced), snippets))
	}
	return items, nil
}

// Hover answers textDocument/hover.
func (s *server) Hover(ctx context.Context, p *protocol.HoverParams) (*protocol.Hover, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	text, at, err := x.Policy.Hover(ctx, x.path, x.offset)
	if err != nil || text == "" {
		return nil, err
	}
	return &protocol.Hover{Contents: &protocol.MarkupContent{Kind: protocol.MarkupKindMarkdown, Value: text}, Range: ptr(x.rangeOf(at))}, nil
}

// Definition answers textDocument/definition.
func (s *server) Definition(_ context.Context, p *protocol.DefinitionParams) (protocol.DefinitionResult, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	return protocol.LocationSlice(x.locations(x.Policy.Definition(x.path, x.offset))), nil
}

// References answers textDocument/references.
func (s *server) References(_ context.Context, p *protocol.ReferenceParams) ([]protocol.Location, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	return x.locations(x.Policy.References(x.path, x.offset, p.Context.IncludeDeclaration)), nil
}

// DocumentHighlight answers textDocument/documentHighlight.
func (s *server) DocumentHighlight(_ context.Context, p *protocol.DocumentHighlightParams) ([]protocol.DocumentHighlight, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	list := []protocol.DocumentHighlight{}
	for _, r := range x.Policy.References(x.path, x.offset, true) {
		if r.Filename == x.path {
			list = append(list, protocol.DocumentHighlight{Range: x.rangeOf(r)})
		}
	}
	return list, nil
}

// PrepareRename answers textDocument/prepareRename.
func (s *server) PrepareRename(_ context.Context, p *protocol.PrepareRenameParams) (protocol.PrepareRenameResult, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	name, at, ok := x.NameAt(x.path, x.offset)
	if !ok {
		return nil, nil
	}
	return &protocol.PrepareRenamePlaceholder{Range: x.rangeOf(at), Placeholder: name}, nil
}

// Rename answers textDocument/rename.
func (s *server) Rename(_ context.Context, p *protocol.RenameParams) (*protocol.WorkspaceEdit, error) {
	x, ok := s.at(p.TextDocumentPositionParams)
	if !ok {
		return nil, nil
	}
	edits, err := x.Policy.Rename(x.path, x.offset, p.NewName)
	if err != nil {
		return nil, jsonrpc2.NewError(jsonrpc2.InvalidParams, err.Error())
	}
	return x.workspaceEdit(edits), nil
}

// DocumentSymbol answers textDocument/documentSymbol.
func (s *server) DocumentSymbol(_ context.Context, p *protocol.DocumentSymbolParams) (protocol.DocumentSymbolResult, error) {
	path := pathOf(p.TextDocument.URI)
	r, d, ok := s.of(path)
	if !ok {
		return nil, nil
	}
	return protocol.DocumentSymbolSlice(symbolsOf(r.Symbols(path), d.text)), nil
}

// Formatting answers textDocument/formatting. It needs the text alone.
func (s *server) Formatting(_ context.Context, p *protocol.DocumentFormattingParams) ([]protocol.TextEdit, error) {
	path := pathOf(p.TextDocument.URI)
	d := s.document(path)
	if d == nil {
		return nil, nil
	}
	list := []protocol.TextEdit{}
	for _, e := range editor.Format(path, d.src) {
		list = append(list, protocol.TextEdit{Range: d.rangeOf(e.At), NewText: e.Text})
	}
	return list, nil
}

// CodeAction answers textDocument/codeAction.
func (s *server) CodeAction(_ context.Context, p *protocol.CodeActionParams) ([]protocol.CommandOrCodeAction, error) {
	path := pathOf(p.TextDocument.URI)
	r, d, ok := s.of(path)
	if !ok {
		return nil, nil
	}
	x := at{r, d, path, 0}
	list := []protocol.CommandOrCodeAction{}
	for _, fix := range r.Fixes(path, d.offset(p.Range.Start), d.offset(p.Range.End)) {
		action := &protocol.CodeAction{Title: fix.Name, Kind: ptr(protocol.CodeActionKindQuickFix), Edit: x.workspaceEdit(fix.Edits)}
		if fix.Best {
			action.IsPreferred = ptr(true)
		}
		if fix.Of.Subject != nil {
			action.Diagnostics = []protocol.Diagnostic{diagnosticOf(fix.Of, d.rangeOf(*fix.Of.Subject))}
		}
		list = append(list, action)
	}
	return list, nil
}

// CodeLens answers textDocument/codeLens.
func (s *server) CodeLens(ctx context.Context, p *protocol.CodeLensParams) ([]protocol.CodeLens, error) {
	path := pathOf(p.TextDocument.URI)
	r, d, ok := s.of(path)
	if !ok {
		return nil, nil
	}
	lenses, err := r.Lenses(ctx, path)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	list := []protocol.CodeLens{} // none where it is too hard to say
	for _, l := range lenses {
		list = append(list, protocol.CodeLens{Range: d.rangeOf(l.At), Command: protocol.Command{Title: l.Text}})
	}
	return list, nil
}

// locations are ranges of any of the policy's files.
func (x *at) locations(ranges []hcl.Range) []protocol.Location {
	list := []protocol.Location{}
	texts := map[string]*text{x.path: x.text}
	for _, r := range ranges {
		list = append(list, protocol.Location{URI: uri.File(r.Filename), Range: x.in(texts, r)})
	}
	return list
}

// in is a range of a file; that of a file whose text is not known is its start.
func (x *at) in(texts map[string]*text, r hcl.Range) protocol.Range {
	if texts[r.Filename] == nil {
		src, _ := x.TextOf(r.Filename)
		texts[r.Filename] = newText(src)
	}
	return texts[r.Filename].rangeOf(r)
}

func (x *at) workspaceEdit(edits []editor.Edit) *protocol.WorkspaceEdit {
	texts := map[string]*text{x.path: x.text}
	w := &protocol.WorkspaceEdit{Changes: map[uri.URI][]protocol.TextEdit{}}
	for _, e := range edits {
		u := uri.File(e.At.Filename)
		w.Changes[u] = append(w.Changes[u], protocol.TextEdit{Range: x.in(texts, e.At), NewText: e.Text})
	}
	return w
}
