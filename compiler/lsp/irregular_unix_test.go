//go:build unix

package lsp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Files that have no end, or that are waited for, are not read.
func TestIrregularFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.hcl"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.vars.hcl"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero.hcl")); err != nil {
		t.Fatal(err)
	}
	r := rawConnection(t, false)
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":"begin","method":"initialize","params":{"capabilities":{},"rootUri":"file://%s","initializationOptions":{"varFiles":["pipe.vars.hcl"]}}}`, dir))
	r.answer("begin")
	r.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file://%s/p.hcl","languageId":"hcl","version":1,"text":"host {}\\nvariable \\"x\\" {}\\n"}}}`, dir))
	for _, method := range []string{"hover", "rename"} {
		r.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"textDocument/%s","params":{"textDocument":{"uri":"file://%s/p.hcl"},"position":{"line":1,"character":11},"newName":"y"}}`, method, method, dir))
		r.answer(method)
	}
}
