package lsp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/seawall/seawall/compiler/editor"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/compiler/lsp"
	"github.com/seawall/seawall/schema"
	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"
)

// pipe is one end of a connection in memory.
type pipe struct {
	io.Reader
	io.WriteCloser
}

// client is an editor: it holds the texts, and what was published about them.
type client struct {
	protocol.UnimplementedClient
	t      testing.TB
	server protocol.Server
	ended  chan error

	lock     sync.Mutex
	news     *sync.Cond
	texts    map[string]string
	versions map[string]int32
	// of what was published last, by path
	published map[string][]protocol.Diagnostic
	version   map[string]int32
	late      bool
}

func (c *client) PublishDiagnostics(_ context.Context, p *protocol.PublishDiagnosticsParams) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	path := p.URI.FsPath()
	c.published[path] = p.Diagnostics
	if v, ok := p.Version.Get(); ok {
		c.version[path] = v
	}
	c.news.Broadcast()
	return nil
}

func (c *client) RegisterCapability(context.Context, *protocol.RegistrationParams) error { return nil }

// codec writes the protocol's types.
type codec struct{ jsonrpc2.JSONCodec }

func (codec) Marshal(v any) ([]byte, error)      { return protocol.Marshal(v) }
func (codec) Unmarshal(data []byte, v any) error { return protocol.Unmarshal(data, v) }

func connect(t testing.TB, opt lsp.Options) *client {
	t.Helper()
	toServer, fromClient := io.Pipe()
	toClient, fromServer := io.Pipe()
	c := &client{t: t, ended: make(chan error, 1), texts: map[string]string{}, versions: map[string]int32{}, published: map[string][]protocol.Diagnostic{}, version: map[string]int32{}}
	c.news = sync.NewCond(&c.lock)
	go func() { c.ended <- lsp.Serve(context.Background(), toServer, fromServer, opt) }()
	// Not NewClient, which handles what is published in any order.
	conn := jsonrpc2.NewConn(jsonrpc2.NewStream(pipe{toClient, fromClient}), jsonrpc2.WithCodec(codec{}))
	conn.Go(context.Background(), protocol.ClientHandler(c, jsonrpc2.MethodNotFoundHandler))
	server := protocol.ServerDispatcher(conn)
	c.server = server
	yes := true
	if _, err := server.Initialize(context.Background(), &protocol.InitializeParams{Capabilities: protocol.ClientCapabilities{
		TextDocument: &protocol.TextDocumentClientCapabilities{Completion: &protocol.CompletionClientCapabilities{
			CompletionItem: &protocol.ClientCompletionItemOptions{SnippetSupport: &yes}}}}}); err != nil {
		t.Fatal(err)
	}
	if err := server.Initialized(context.Background(), &protocol.InitializedParams{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := server.Exit(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-c.ended; err != nil {
			t.Error(err)
		}
		_ = fromServer.Close()
		_ = conn.Close()
	})
	return c
}

func (c *client) open(path, text string) {
	c.versions[path]++
	c.texts[path] = text
	if err := c.server.DidOpen(context.Background(), &protocol.DidOpenTextDocumentParams{TextDocument: protocol.TextDocumentItem{
		URI: uri.File(path), LanguageID: "hcl", Version: c.versions[path], Text: text}}); err != nil {
		c.t.Fatal(err)
	}
}

// position counts as the protocol does, in another way than the server: over the runes of
// the whole text.
func position(text string, offset int) protocol.Position {
	var p protocol.Position
	for i, r := range text[:offset] {
		switch {
		case r == '\n', r == '\r' && !strings.HasPrefix(text[i+1:], "\n"):
			p.Line, p.Character = p.Line+1, 0
		case r > 0xffff:
			p.Character += 2
		default:
			p.Character++
		}
	}
	return p
}

// edit replaces a part of a text.
func (c *client) edit(path string, from, to int, with string) {
	text := c.texts[path]
	c.versions[path]++
	if err := c.server.DidChange(context.Background(), &protocol.DidChangeTextDocumentParams{
		TextDocument:   protocol.VersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: uri.File(path)}, Version: c.versions[path]},
		ContentChanges: []protocol.TextDocumentContentChangeEvent{&protocol.TextDocumentContentChangePartial{Range: protocol.Range{Start: position(text, from), End: position(text, to)}, Text: with}},
	}); err != nil {
		c.t.Fatal(err)
	}
	c.texts[path] = text[:from] + with + text[to:]
}

// diagnostics waits for those of a text as it is now, with all that is wanted among them.
func (c *client) diagnostics(path string, wanted int) []protocol.Diagnostic {
	c.t.Helper()
	late := time.AfterFunc(20*time.Second, func() {
		c.lock.Lock()
		defer c.lock.Unlock()
		c.late = true
		c.news.Broadcast()
	})
	defer late.Stop()
	c.lock.Lock()
	defer c.lock.Unlock()
	for c.version[path] != c.versions[path] || len(c.published[path]) < wanted {
		if c.late {
			c.t.Fatalf("%s: no diagnostics of the last version after 20 s: %v of version %d\n%s", path, c.published[path], c.version[path], c.texts[path])
		}
		c.news.Wait()
	}
	return c.published[path]
}

func (c *client) at(path string, offset int) protocol.TextDocumentPositionParams {
	return protocol.TextDocumentPositionParams{TextDocument: protocol.TextDocumentIdentifier{URI: uri.File(path)}, Position: position(c.texts[path], offset)}
}

// everything asks every question about a place in a file. What comes back must fit the text.
func (c *client) everything(path string, offset int) {
	c.t.Helper()
	ctx := context.Background()
	at, document := c.at(path, offset), protocol.TextDocumentIdentifier{URI: uri.File(path)}
	check := func(what string, err error) {
		if err != nil {
			c.t.Fatalf("%s at %d of %s: %v", what, offset, path, err)
		}
	}
	completion, err := c.server.Completion(ctx, &protocol.CompletionParams{TextDocumentPositionParams: at})
	check("completion", err)
	if list, ok := completion.(protocol.CompletionItemSlice); ok {
		for _, item := range list {
			if e, ok := item.TextEdit.(*protocol.TextEdit); ok {
				c.within(path, e.Range)
			}
		}
	}
	hover, err := c.server.Hover(ctx, &protocol.HoverParams{TextDocumentPositionParams: at})
	check("hover", err)
	if hover != nil && hover.Range != nil {
		c.within(path, *hover.Range)
	}
	_, err = c.server.Definition(ctx, &protocol.DefinitionParams{TextDocumentPositionParams: at})
	check("definition", err)
	_, err = c.server.References(ctx, &protocol.ReferenceParams{TextDocumentPositionParams: at, Context: protocol.ReferenceContext{IncludeDeclaration: true}})
	check("references", err)
	_, err = c.server.DocumentHighlight(ctx, &protocol.DocumentHighlightParams{TextDocumentPositionParams: at})
	check("documentHighlight", err)
	prepared, err := c.server.PrepareRename(ctx, &protocol.PrepareRenameParams{TextDocumentPositionParams: at})
	check("prepareRename", err)
	if prepared != nil {
		edit, err := c.server.Rename(ctx, &protocol.RenameParams{TextDocumentPositionParams: at, NewName: "renamed_by_test"})
		if err == nil {
			for _, e := range edit.Changes[uri.File(path)] {
				c.within(path, e.Range)
			}
		}
	}
	_, err = c.server.DocumentSymbol(ctx, &protocol.DocumentSymbolParams{TextDocument: document})
	check("documentSymbol", err)
	_, err = c.server.Formatting(ctx, &protocol.DocumentFormattingParams{TextDocument: document})
	check("formatting", err)
	_, err = c.server.CodeAction(ctx, &protocol.CodeActionParams{TextDocument: document, Range: protocol.Range{Start: at.Position, End: position(c.texts[path], len(c.texts[path]))}})
	check("codeAction", err)
	_, err = c.server.CodeLens(ctx, &protocol.CodeLensParams{TextDocument: document})
	check("codeLens", err)
}

// within checks that a range lies in a text.
func (c *client) within(path string, r protocol.Range) {
	c.t.Helper()
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(c.texts[path]), "\n")
	for _, p := range []protocol.Position{r.Start, r.End} {
		if int(p.Line) >= len(lines) || p.Character > position(lines[p.Line], len(lines[p.Line])).Character {
			c.t.Fatalf("%v is not in %s", r, path)
		}
	}
}

// policies are the policy files of the examples.
func policies(t testing.TB) []string {
	t.Helper()
	var list []string
	if err := filepath.WalkDir("../../examples", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && schema.IsPolicyFile(d.Name()) {
			absolute, err := filepath.Abs(path)
			list = append(list, absolute)
			return err
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(list) < 8 {
		t.Fatalf("only %d policies among the examples", len(list))
	}
	return list
}

// Every request, on every example, at every tenth byte: no error, and the diagnostics are
// those of the library.
func TestEveryExample(t *testing.T) {
	c := connect(t, lsp.Options{})
	for _, path := range policies(t) {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c.open(path, string(src))
		c.diagnostics(path, 0)
		for offset := 0; offset <= len(src); offset += 10 {
			c.everything(path, offset)
		}
	}
}

// What is published of a text is what Load and lint say of the same bytes in a file, after
// any number of edits.
func TestRandomEdits(t *testing.T) {
	edits := 10_000
	if testing.Short() {
		edits = 500
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	c := connect(t, lsp.Options{})
	pieces := []string{"", "\n", "{", "}", "\"", "[", "]", "=", "set.", "var.x", "policy \"p\" {\n", "host {", "any", "sources = ", "ports = [80]", "é", "😀", "\r\n", "\r", "\x00", "${", "}\"",
		"<<E\n", "E\n", "# ", "/*", "*/", "10.0.0.0/8", "\"2001:db8::/64\"", "for_each = { a = 1 }\n", "dynamic \"allow\" {\n", "locals { a = local.a }\n", "\ufeff", "allow { sources = any }\n", ",", "%{if", "\\u0000"}
	files := policies(t)
	var before runtime.MemStats
	done, checked := 0, 0
	for done < edits {
		path := files[random.IntN(len(files))]
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c.open(path, string(src))
		for range 50 {
			text := c.texts[path]
			boundaries := []int{len(text)}
			for i := range text {
				if i == 0 || text[i-1] != '\r' { // no editor has a cursor inside the end of a line
					boundaries = append(boundaries, i)
				}
			}
			from := boundaries[random.IntN(len(boundaries))]
			to := from
			if random.IntN(3) == 0 {
				to = boundaries[random.IntN(len(boundaries))]
				if d := to - from; d < 0 || d > 60 {
					to = from
				}
			}
			c.edit(path, from, to, pieces[random.IntN(len(pieces))])
			if done++; done%7 == 0 {
				c.everything(path, boundaries[random.IntN(len(boundaries))]%(len(c.texts[path])+1))
			}
			if done == edits/10 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
		}
		checked += c.same(path)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d edits, %d texts checked; heap %d MiB after a tenth of them, %d MiB at the end", done, checked, before.HeapAlloc>>20, after.HeapAlloc>>20)
	if after.HeapAlloc > before.HeapAlloc+64<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before.HeapAlloc>>20, after.HeapAlloc>>20)
	}
}

// same checks what was published of a text against files with the same bytes.
func (c *client) same(path string) int {
	c.t.Helper()
	dir := c.t.TempDir()
	from := filepath.Dir(path)
	entries, err := os.ReadDir(from)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range entries { // list files, and the other files of the policy
		src, err := os.ReadFile(filepath.Join(from, e.Name()))
		if text, ok := c.texts[filepath.Join(from, e.Name())]; ok {
			src, err = []byte(text), nil
		}
		if err != nil {
			continue // a folder
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), src, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	file := filepath.Join(dir, filepath.Base(path))
	loaded, diags := schema.Load(editor.PathOf(file, schema.Options{}), schema.Options{})
	var want []string
	for _, d := range diags {
		if d.Subject != nil && d.Subject.Filename == file || d.Subject == nil && c.first(loaded.Inputs, file, from) == file {
			want = append(want, d.Summary)
		}
	}
	if loaded.Document != nil {
		for _, f := range lint.Run(loaded.Document, loaded.Files) {
			if f.At.Filename == file {
				want = append(want, f.Summary)
			}
		}
	}
	if c.foreign(loaded.Inputs, file, from) {
		want = nil
	}
	var got []string
	for _, d := range c.diagnostics(path, len(want)) {
		summary, _, _ := strings.Cut(string(d.Message.(protocol.String)), "\n")
		got = append(got, strings.TrimSuffix(summary, "."))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.t.Fatalf("of\n%s\n%q is published, want %q", c.texts[path], got, want)
	}
	return 1
}

// foreign reports whether all files of a policy are some other program's: a file that is open
// and cannot be read is not known to be.
func (c *client) foreign(inputs []string, file, from string) bool {
	for other := range c.texts {
		copied := filepath.Join(filepath.Dir(file), filepath.Base(other))
		if filepath.Dir(other) == from && editor.PathOf(copied, schema.Options{}) == editor.PathOf(file, schema.Options{}) && !slices.Contains(inputs, copied) {
			return false
		}
	}
	kinds := regexp.MustCompile(`^(host|set|guard|policy|forward|test)$`)
	for _, input := range inputs {
		src, err := os.ReadFile(input)
		if err != nil {
			return false
		}
		f, _ := hclsyntax.ParseConfig(src, input, hcl.InitialPos)
		body := f.Body.(*hclsyntax.Body)
		if len(body.Blocks)+len(body.Attributes) == 0 || slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return kinds.MatchString(b.Type) }) {
			return false
		}
	}
	return len(inputs) > 0
}

// first is the file that stands for the policy of a file: its first, or the first of it that
// is open.
func (c *client) first(inputs []string, file, from string) string {
	if len(inputs) > 0 {
		return inputs[0]
	}
	for _, path := range slices.Sorted(maps.Keys(c.texts)) {
		other := filepath.Join(filepath.Dir(file), filepath.Base(path))
		if filepath.Dir(path) == from && editor.PathOf(other, schema.Options{}) == editor.PathOf(file, schema.Options{}) {
			return other
		}
	}
	return ""
}

// An editor that goes away without a word ends the server, with an error.
func TestNoShutdown(t *testing.T) {
	err := lsp.Serve(context.Background(), strings.NewReader(""), io.Discard, lsp.Options{})
	if !errors.Is(err, lsp.ErrNoShutdown) {
		t.Errorf("%v", err)
	}
}

// twoHundred is a policy file of 200 policies, with sets, a guard and tests.
func twoHundred() string {
	var b strings.Builder
	b.WriteString("host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nguard {\n  deny { sources = [\"192.0.2.66\"] }\n}\n")
	for i := range 20 {
		fmt.Fprintf(&b, "set \"team%d\" {\n  sources = [\"10.%d.0.0/16\", \"2001:db8:%d::/48\", \"198.51.100.%d\"]\n}\n", i, i, i, i)
	}
	for i := range 200 {
		fmt.Fprintf(&b, "policy \"service%d\" {\n  description = \"service %d\"\n  ports = [%d, \"%d/udp\"]\n  deny { sources = [\"10.%d.7.0/24\"] }\n  allow { sources = [set.team%d, set.team%d, \"203.0.113.%d\"] }\n}\n", i, i, 2000+i, 2000+i, i%20, i%20, (i+7)%20, i)
	}
	for i := range 40 {
		fmt.Fprintf(&b, "test \"team %d\" {\n  to = [%d]\n  allow = [\"10.%d.0.1\"]\n}\n", i, 2000+i, i%20)
	}
	return b.String()
}

// typed types a text letter by letter, and returns how long each took to be judged.
func (c *client) typed(path, before, text string) []time.Duration {
	at := strings.Index(c.texts[path], before)
	var times []time.Duration
	for i, r := range text {
		start := time.Now()
		c.edit(path, at+i, at+i, string(r))
		c.diagnostics(path, 0)
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times
}

// While a file of 200 policies is typed, each letter is judged at once; a list of a million
// lines beside it makes it no slower.
func BenchmarkTyping(b *testing.B) {
	million := func(dir string) string {
		var list strings.Builder
		for i := range 1_000_000 {
			fmt.Fprintf(&list, "%d.%d.%d.0/30\n", 11+i>>16, i>>8&255, i&255)
		}
		if err := os.WriteFile(filepath.Join(dir, "million.txt"), []byte(list.String()), 0o600); err != nil {
			b.Fatal(err)
		}
		return twoHundred() + "set \"million\" {\n  files = [\"million.txt\"]\n}\npolicy \"big\" {\n  ports = [9]\n  allow { sources = set.million }\n}\n"
	}
	for _, bench := range []struct {
		name string
		text func(dir string) string
	}{{"200 policies", func(string) string { return twoHundred() }}, {"a million lines", million}} {
		b.Run(bench.name, func(b *testing.B) {
			dir := b.TempDir()
			path := filepath.Join(dir, "policy.hcl")
			c := connect(b, lsp.Options{})
			c.open(path, bench.text(dir))
			c.diagnostics(path, 0)
			for b.Loop() {
				times := c.typed(path, "policy \"service100\"", "policy \"typed\" {\n  ports = [4000]\n  allow { sources = set.team3 }\n}\n")
				b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/median")
				b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1000, "ms/p95")
				b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "ms/max")
				c.edit(path, strings.Index(c.texts[path], "policy \"typed\""), strings.Index(c.texts[path], "policy \"service100\""), "")
			}
		})
	}
}
