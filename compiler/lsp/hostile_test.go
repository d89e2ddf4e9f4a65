package lsp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/lsp"
)

// raw is a connection to a server byte by byte.
type raw struct {
	t       *testing.T
	to      io.WriteCloser
	answers chan map[string]any
	ended   chan error
}

func rawConnection(t *testing.T, initialize bool) *raw {
	t.Helper()
	toServer, in := io.Pipe()
	out, fromServer := io.Pipe()
	r := &raw{t, in, make(chan map[string]any, 100), make(chan error, 1)}
	go func() {
		r.ended <- lsp.Serve(context.Background(), toServer, fromServer, lsp.Options{})
		_ = fromServer.Close()
	}()
	go func() {
		defer close(r.answers)
		reader := textproto.NewReader(bufio.NewReader(out))
		for {
			header, err := reader.ReadMIMEHeader()
			if err != nil {
				return
			}
			n, _ := strconv.Atoi(header.Get("Content-Length"))
			body := make([]byte, n)
			if _, err := io.ReadFull(reader.R, body); err != nil {
				return
			}
			var m map[string]any
			if json.Unmarshal(body, &m) == nil && m["id"] != nil {
				r.answers <- m
			}
		}
	}()
	t.Cleanup(func() { _ = in.Close() })
	if initialize {
		r.send(`{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"capabilities":{}}}`)
		r.answer("first")
	}
	return r
}

func (r *raw) send(message string) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.to, "Content-Length: %d\r\n\r\n%s", len(message), message); err != nil {
		r.t.Fatal(err)
	}
}

// answer waits for the answer to a request.
func (r *raw) answer(id any) map[string]any {
	r.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case m, ok := <-r.answers:
			if !ok {
				r.t.Fatalf("the connection ended, and %v was not answered", id)
			}
			if m["id"] == id {
				return m
			}
		case <-late:
			r.t.Fatalf("%v was not answered in 20 s", id)
		}
	}
}

// Whatever comes, requests after it are answered.
func TestServerGoesOn(t *testing.T) {
	messages := []string{"", "null", "5", "[]", "{}", "{", "\xff\xfe", strings.Repeat("[", 5000), `{"jsonrpc":"2.0"}`, `{"jsonrpc":"1.0","id":9,"method":"shutdown"}`,
		`{"jsonrpc":"2.0","id":null,"method":"textDocument/hover"}`, `{"jsonrpc":"2.0","id":1.5,"method":"textDocument/hover"}`, `{"jsonrpc":"2.0","id":{},"method":"shutdown"}`,
		`{"jsonrpc":"2.0","id":77,"result":5}`, `[{"jsonrpc":"2.0","method":"$/x"}]`, `{"jsonrpc":"2.0","method":5}`}
	for _, method := range []string{"$/foo", "foo", "$/logTrace", "initialized", "textDocument/didOpen", "textDocument/didChange", "textDocument/didSave", "textDocument/didClose",
		"workspace/didChangeConfiguration", "workspace/didChangeWatchedFiles", "workspace/didChangeWorkspaceFolders", "$/cancelRequest", "$/setTrace"} {
		for _, params := range []string{"", `,"params":null`, `,"params":{}`, `,"params":[]`, `,"params":"x"`, `,"params":{"textDocument":5,"id":{}}`} {
			messages = append(messages, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q%s}`, method, params))
		}
	}
	r := rawConnection(t, true)
	for i, m := range messages {
		r.send(m)
		id := fmt.Sprintf("after %d", i)
		r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"textDocument/hover","params":{"textDocument":{"uri":"file:///none.hcl"},"position":{"line":0,"character":0}}}`, id))
		if got := r.answer(id); got["error"] != nil {
			t.Errorf("after %q: %v", m, got)
		}
	}
}

// Requests before the first one and after the last are refused, as is a second first one.
func TestBeginningAndEnd(t *testing.T) {
	hover := `{"jsonrpc":"2.0","id":"hover","method":"textDocument/hover","params":{"textDocument":{"uri":"file:///none.hcl"},"position":{"line":0,"character":0}}}`
	code := func(m map[string]any) any {
		if e, ok := m["error"].(map[string]any); ok {
			return e["code"]
		}
		return nil
	}
	r := rawConnection(t, false)
	r.send(hover)
	if got := code(r.answer("hover")); got != -32002.0 {
		t.Errorf("before initialize: %v", got)
	}
	for _, want := range []any{nil, -32600.0} {
		r.send(`{"jsonrpc":"2.0","id":"begin","method":"initialize","params":{"capabilities":{}}}`)
		if got := code(r.answer("begin")); got != want {
			t.Errorf("initialize: %v, want %v", got, want)
		}
	}
	r.send(`{"jsonrpc":"2.0","id":"end","method":"shutdown"}`)
	r.answer("end")
	r.send(hover)
	if got := code(r.answer("hover")); got != -32600.0 {
		t.Errorf("after shutdown: %v", got)
	}
	r.send(`{"jsonrpc":"2.0","method":"exit","params":null}`)
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

// A header that does not end, or no length, ends the connection: nothing tells where the next
// message begins.
func TestBadFrames(t *testing.T) {
	for _, text := range []string{"Content-Length: -1\r\n\r\n", "Content-Length: x\r\n\r\n{}", "Content-Length: 99999999999999\r\n\r\n{}", strings.Repeat("X: y\r\n", 100_000)} {
		r := rawConnection(t, true)
		go func() { _, _ = io.WriteString(r.to, text) }()
		select {
		case err := <-r.ended:
			if err == nil {
				t.Errorf("%.40q: no error", text)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%.40q: the server goes on", text)
		}
	}
}

// Of several folders that are open, variable files are relative to the one around the policy.
func TestVariableFilesOfSeveralFolders(t *testing.T) {
	top := t.TempDir()
	policy := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nvariable \"c\" { type = list(string) }\npolicy \"w\" {\n  ports = [80]\n  allow { sources = var.c }\n}\n"
	for name, text := range map[string]string{"one/p.hcl": policy, "two/p.hcl": policy, "one/v.vars.hcl": "c = [\"192.0.2.1\"]\n", "two/v.vars.hcl": "c = [\"any\"]\n"} {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := rawConnection(t, false)
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"begin","method":"initialize","params":{"capabilities":{},"workspaceFolders":[{"uri":"file://%[1]s/one","name":"one"},{"uri":"file://%[1]s/two","name":"two"}],"initializationOptions":{"varFiles":["v.vars.hcl"]}}}`, top))
	r.answer("begin")
	for folder, want := range map[string]string{"one": "reachable by 1 address over IPv4; everybody: no", "two": "reachable by everybody"} {
		text, _ := json.Marshal(policy)
		r.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file://%s/%s/p.hcl","languageId":"hcl","version":1,"text":%s}}}`, top, folder, text))
		r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"textDocument/codeLens","params":{"textDocument":{"uri":"file://%s/%s/p.hcl"}}}`, folder, top, folder))
		if got := fmt.Sprint(r.answer(folder)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", folder, got, want)
		}
	}
}
