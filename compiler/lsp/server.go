package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seawall/seawall/schema"
	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
)

// Options are what a server is started with.
type Options struct {
	Version string
	// Reading is how policies are read; what the editor says is added to it.
	Reading schema.Options
}

// ErrNoShutdown is the error for an editor that went away without shutting the server down.
var ErrNoShutdown = errors.New("the editor closed the connection without a shutdown")

// server is one connection to an editor.
type server struct {
	protocol.UnimplementedServer
	version string
	client  protocol.Client
	context context.Context
	exit    context.CancelFunc
	given   schema.Options // by the command line
	wake    chan struct{}  // there is something to publish
	shut    atomic.Bool    // the editor asked to shut down

	lock      sync.Mutex // for what follows
	reading   schema.Options
	settings  settings
	folders   []string // those that are open
	snippets  bool     // the editor can fill in places
	watches   bool     // the editor can watch files
	begun     bool     // it was initialized
	documents map[string]*document
	policies  map[string]*policy // by the path of each

	publishes sync.Mutex // held while diagnostics are sent
}

// Serve speaks to an editor until it leaves or the context ends. The error is ErrNoShutdown
// for one that left without asking, or one of the connection.
func Serve(ctx context.Context, in io.Reader, out io.Writer, opt Options) error {
	ctx, exit := context.WithCancel(ctx)
	defer exit()
	opt.Reading.Lists, opt.Reading.RegularOnly = new(schema.Lists), true
	s := &server{version: opt.Version, given: opt.Reading, reading: opt.Reading, context: ctx, exit: exit, wake: make(chan struct{}, 1),
		documents: map[string]*document{}, policies: map[string]*policy{}}
	conn := jsonrpc2.NewConn(jsonrpc2.NewStream(pipe{framed(in), out}), jsonrpc2.WithCodec(codec{}))
	s.client = protocol.ClientDispatcher(conn)
	conn.Go(ctx, s.inOrder(protocol.CancelHandler(protocol.ServerHandler(s, jsonrpc2.MethodNotFoundHandler))))
	go s.publishing(ctx)
	select {
	case <-ctx.Done():
	case <-conn.Done():
	}
	switch {
	case s.shut.Load():
		return nil
	case conn.Err() != nil:
		return conn.Err()
	}
	return ErrNoShutdown
}

// inOrder lets requests run beside what follows them. Notifications, which are edits for the
// most part, are handled one after the other. It comes before the handler that cancels
// requests, whose context must outlive a request that is not released (jsonrpc2 v1.0.1 uses
// it again for the next one). A notification that is not known, or not understood, is passed
// by: its error would end the connection.
func (s *server) inOrder(handler jsonrpc2.Handler) jsonrpc2.Handler {
	return func(ctx context.Context, r *jsonrpc2.Request) (any, error) {
		if !r.IsCall() {
			_, _ = handler(ctx, r)
			return nil, nil
		}
		if err := s.mayAsk(r.Method()); err != nil {
			return nil, err
		}
		jsonrpc2.Async(ctx)
		return handler(ctx, r)
	}
}

// mayAsk returns an error for a request before the first one, and for any after the last.
func (s *server) mayAsk(method string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	first := method == protocol.MethodInitialize
	switch {
	case s.shut.Load():
		return jsonrpc2.NewError(jsonrpc2.InvalidRequest, "the server was shut down")
	case first && s.begun:
		return jsonrpc2.NewError(jsonrpc2.InvalidRequest, "the server was initialized before")
	case !first && !s.begun:
		return jsonrpc2.NewError(notInitialized, "the server is not initialized")
	}
	s.begun = true
	return nil
}

// notInitialized is the protocol's code for a request before the first one.
const notInitialized = -32002

// pipe is standard input and output as a connection.
type pipe struct {
	io.Reader
	io.Writer
}

// Close closes nothing: the streams are the process's.
func (pipe) Close() error { return nil }

// codec writes the protocol's types as its package does.
type codec struct{}

func (codec) Marshal(v any) ([]byte, error) {
	if raw, ok := v.(jsonrpc2.RawMessage); ok {
		return jsonrpc2.JSONCodec{}.Marshal(raw)
	}
	return protocol.Marshal(v)
}

func (codec) Unmarshal(data []byte, v any) error {
	if raw, ok := v.(*jsonrpc2.RawMessage); ok {
		return jsonrpc2.JSONCodec{}.Unmarshal(data, raw)
	}
	return protocol.Unmarshal(data, v)
}

// Initialize says what the server can do.
func (s *server) Initialize(_ context.Context, p *protocol.InitializeParams) (*protocol.InitializeResult, error) {
	s.lock.Lock()
	s.folders = foldersOf(p)
	if t := p.Capabilities.TextDocument; t != nil && t.Completion != nil && t.Completion.CompletionItem != nil {
		s.snippets = is(t.Completion.CompletionItem.SnippetSupport)
	}
	if w := p.Capabilities.Workspace; w != nil && w.DidChangeWatchedFiles != nil {
		s.watches = is(w.DidChangeWatchedFiles.DynamicRegistration)
	}
	s.lock.Unlock()
	var given settings
	if json.Unmarshal(p.InitializationOptions, &given) == nil { // an editor may send anything there
		s.configure(given)
	}
	return &protocol.InitializeResult{
		ServerInfo: protocol.ServerInfo{Name: "seawall", Version: protocol.NewOptional(s.version)},
		Capabilities: protocol.ServerCapabilities{
			TextDocumentSync: &protocol.TextDocumentSyncOptions{OpenClose: ptr(true), Change: ptr(protocol.TextDocumentSyncKindIncremental),
				Save: protocol.Boolean(true)},
			CompletionProvider:         &protocol.CompletionOptions{TriggerCharacters: []string{".", "\""}},
			HoverProvider:              protocol.Boolean(true),
			DefinitionProvider:         protocol.Boolean(true),
			ReferencesProvider:         protocol.Boolean(true),
			DocumentHighlightProvider:  protocol.Boolean(true),
			DocumentSymbolProvider:     protocol.Boolean(true),
			DocumentFormattingProvider: protocol.Boolean(true),
			RenameProvider:             &protocol.RenameOptions{PrepareProvider: ptr(true)},
			CodeActionProvider:         &protocol.CodeActionOptions{CodeActionKinds: []protocol.CodeActionKind{protocol.CodeActionKindQuickFix}},
			CodeLensProvider:           &protocol.CodeLensOptions{},
			Workspace: &protocol.WorkspaceOptions{WorkspaceFolders: &protocol.WorkspaceFoldersServerCapabilities{
				Supported: ptr(true), ChangeNotifications: protocol.Boolean(true)}},
		},
	}, nil
}

// foldersOf are the folders that the editor has open.
func foldersOf(p *protocol.InitializeParams) []string {
	var list []string
	if folders, ok := p.WorkspaceFolders.Get(); ok {
		for _, f := range folders {
			list = append(list, pathOf(f.URI))
		}
	}
	//lint:ignore SA1019 older editors have it alone
	if root := p.RootURI; root != nil && len(list) == 0 {
		list = append(list, pathOf(*root))
	}
	return list
}

// folderOf is the folder that is open around a path, the innermost of several; the first one
// for a path that is in none.
func (s *server) folderOf(path string) string {
	best, around := "", false
	for i, f := range s.folders {
		rel, err := filepath.Rel(f, path)
		inside := err == nil && filepath.IsLocal(rel)
		if i == 0 || inside && (!around || len(f) > len(best)) {
			best, around = f, inside
		}
	}
	return best
}

func ptr[T any](v T) *T { return &v }

func is(b *bool) bool { return b != nil && *b }

// Initialized asks the editor to watch the files that policies are made of.
func (s *server) Initialized(ctx context.Context, _ *protocol.InitializedParams) error {
	s.lock.Lock()
	watches := s.watches
	s.lock.Unlock()
	if !watches {
		return nil
	}
	options, err := json.Marshal(map[string]any{"watchers": []map[string]string{
		{"globPattern": "**/*.hcl"}, {"globPattern": "**/*.json"}, {"globPattern": "**/*.txt"}, {"globPattern": "**/*.list"}, {"globPattern": "**/*.netset"}}})
	if err != nil {
		return err
	}
	go func() { // its answer comes over this very connection
		_ = s.client.RegisterCapability(context.WithoutCancel(ctx), &protocol.RegistrationParams{Registrations: []protocol.Registration{
			{ID: "files", Method: protocol.MethodWorkspaceDidChangeWatchedFiles, RegisterOptions: options}}})
	}()
	return nil
}

// DidChangeConfiguration reads the section seawall of the editor's settings.
func (s *server) DidChangeConfiguration(_ context.Context, p *protocol.DidChangeConfigurationParams) error {
	var all struct {
		Seawall *settings `json:"seawall"`
	}
	if json.Unmarshal(p.Settings, &all) == nil && all.Seawall != nil {
		s.configure(*all.Seawall)
	}
	return nil
}

// DidChangeWorkspaceFolders reads the policies again: paths in the settings may be relative to
// another folder now.
func (s *server) DidChangeWorkspaceFolders(_ context.Context, p *protocol.DidChangeWorkspaceFoldersParams) error {
	s.lock.Lock()
	for _, f := range p.Event.Removed {
		s.folders = slices.DeleteFunc(s.folders, func(path string) bool { return path == pathOf(f.URI) })
	}
	for _, f := range p.Event.Added {
		s.folders = append(s.folders, pathOf(f.URI))
	}
	s.lock.Unlock()
	s.allChanged()
	return nil
}

// SetTrace changes nothing: there is no trace.
func (s *server) SetTrace(context.Context, *protocol.SetTraceParams) error { return nil }

// Shutdown prepares for Exit.
func (s *server) Shutdown(context.Context) error {
	s.shut.Store(true)
	return nil
}

// Exit ends the server.
func (s *server) Exit(context.Context) error {
	s.exit()
	return nil
}
