package lsp

import (
	"github.com/seawall/seawall/compiler/editor"
	"go.lsp.dev/protocol"
)

var completionKinds = map[editor.CompletionKind]protocol.CompletionItemKind{
	editor.OfBlock: protocol.CompletionItemKindModule, editor.OfAttribute: protocol.CompletionItemKindProperty,
	editor.OfName: protocol.CompletionItemKindVariable, editor.OfValue: protocol.CompletionItemKindValue,
	editor.OfFunction: protocol.CompletionItemKindFunction,
}

func completionOf(c editor.Completion, at protocol.Range, snippets bool) protocol.CompletionItem {
	item := protocol.CompletionItem{Label: c.Label, Kind: completionKinds[c.Kind]}
	text := c.Text
	if snippets && c.Snippet != "" {
		text = c.Snippet
		item.InsertTextFormat = protocol.InsertTextFormatSnippet
	}
	item.TextEdit = &protocol.TextEdit{Range: at, NewText: text}
	if c.Detail != "" {
		item.Detail = protocol.NewOptional(c.Detail)
	}
	if c.Doc != "" {
		item.Documentation = &protocol.MarkupContent{Kind: protocol.MarkupKindMarkdown, Value: c.Doc}
	}
	return item
}

var symbolKinds = map[string]protocol.SymbolKind{
	"variable": protocol.SymbolKindVariable, "local": protocol.SymbolKindConstant, "set": protocol.SymbolKindArray,
	"policy": protocol.SymbolKindClass, "allow": protocol.SymbolKindMethod, "deny": protocol.SymbolKindMethod,
	"test": protocol.SymbolKindEvent,
}

func symbolsOf(list []editor.Symbol, t *text) []protocol.DocumentSymbol {
	out := []protocol.DocumentSymbol{}
	for _, s := range list {
		kind, ok := symbolKinds[s.Kind]
		if !ok {
			kind = protocol.SymbolKindNamespace
		}
		d := protocol.DocumentSymbol{Name: s.Name, Kind: kind, Range: t.rangeOf(s.Whole), SelectionRange: t.rangeOf(s.At)}
		if s.Detail != "" {
			d.Detail = ptr(s.Detail)
		}
		if len(s.Inside) > 0 {
			d.Children = symbolsOf(s.Inside, t)
		}
		out = append(out, d)
	}
	return out
}
