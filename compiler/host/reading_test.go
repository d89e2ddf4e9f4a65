//go:build unix

package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
)

// fakeSave points IPTABLES at a command whose -save is a script, and returns the host.
func fakeSave(t *testing.T, script string, mode os.FileMode) *Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fake")
	if script != "" {
		if err := os.WriteFile(path+"-save", []byte("#!/bin/sh\n"+script), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("IPTABLES", path)
	return ThisHost().Within(t.Context())
}

// Permanent failures to read are distinguished from temporary ones.
func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		name, script string
		mode         os.FileMode
		says         string
		stays        bool
	}{
		{"missing", "", 0, "no such file or directory", true},
		{"not a program", "exit 0", 0o644, "permission denied", true},
		{"no root, nf_tables", "echo 'iptables-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)' >&2; exit 4", 0o755, "you must be root", true},
		{"no root, legacy", "echo 'iptables-save v1.8.9 (legacy): Cannot initialize: Permission denied (you must be root)' >&2; exit 1", 0o755, "you must be root", true},
		{"a busy lock", "echo 'Another app is currently holding the xtables lock. Perhaps you want to use the -w option?' >&2; exit 4", 0o755, "Another app is currently holding the xtables lock", false},
		{"killed", "kill -9 $$", 0o755, "signal: killed", false},
		{"no memory", "echo 'iptables-save: Cannot allocate memory' >&2; exit 1", 0o755, "Cannot allocate memory", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := fakeSave(t, c.script, c.mode).Table(packet.IPv4)
			if err == nil || !strings.Contains(err.Error(), c.says) || Unavailable(err) != c.stays {
				t.Errorf("%v, unavailable %v; want %q, %v", err, Unavailable(err), c.says, c.stays)
			}
		})
	}
	t.Run("not in PATH", func(t *testing.T) {
		t.Setenv("IPTABLES", "no-such-iptables")
		if _, err := ThisHost().Saved(packet.IPv4); !Unavailable(err) {
			t.Errorf("%v is not unavailable", err)
		}
	})
}

// A command that hangs ends with the context, and so do its children.
func TestReadingEndsWithItsContext(t *testing.T) {
	h := fakeSave(t, "sleep 60 & sleep 60", 0o755)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := h.Within(ctx).Saved(packet.IPv4); err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
