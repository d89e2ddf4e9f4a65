//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/seawall/seawall/compiler/packet"
)

// smallDisk runs a shell script in a mount namespace of its own, with a tmpfs of some
// blocks of 4 KB on a folder.
func smallDisk(n *Namespace, dir string, blocks int, script string) *exec.Cmd {
	script = fmt.Sprintf("mount -t tmpfs -o size=%dk tmpfs %s && { %s\n}", blocks*4, dir, script)
	if n == nil {
		return exec.Command("unshare", "--mount", "sh", "-c", script)
	}
	return n.Command("unshare", "--mount", "sh", "-c", script)
}

// However little room there is, compile replaces all files of a folder or none, and
// leaves no other behind.
func TestCompileOnAFullDisk(t *testing.T) {
	t.Parallel()
	Need(t, "unshare")
	bin, dir := mustSeawall(t), t.TempDir()
	first, second := policyFile(t, 1), policyFile(t, 2)
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	files := func(policy string) string {
		var all strings.Builder
		for _, x := range [][2]string{{"ip6tables", "6"}, {"iptables", "4"}} {
			text, err := exec.Command(bin, "compile", policy, "--family", x[1]).Output()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s\n%s", x[0], text)
		}
		return all.String()
	}
	before, after := files(first), files(second)
	need := compiledSize(t, bin, first)/4096 + 2 // each file begins a block
	failed, written := 0, 0
	for blocks := need; written == 0; blocks++ {
		script := fmt.Sprintf("%[1]s compile %[2]s --out-dir %[3]s >/dev/null 2>&1 && { %[1]s compile %[4]s --out-dir %[3]s >/dev/null 2>%[5]s/said; echo $? >%[5]s/code; }; cd %[3]s && for f in $(ls -A); do echo $f; cat $f; done", bin, first, out, second, dir)
		_ = os.Remove(filepath.Join(dir, "code")) // of the round before
		now, err := smallDisk(nil, out, blocks, script).Output()
		if err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(filepath.Join(dir, "code"))
		if err != nil {
			if len(now) > 0 {
				t.Errorf("%d blocks hold not even the first files, and these are left:\n%s", blocks, now)
			}
			continue
		}
		said, err := os.ReadFile(filepath.Join(dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		want := "Error: cannot write into " + out + ": no space left on device. Nothing there was changed. Free some space, or name another folder\n"
		switch string(code) {
		case "1\n":
			failed++
			if string(now) != before || string(said) != want {
				t.Errorf("%d blocks: the previous files are not there alone:\n%s\n%s", blocks, said, cmp.Diff(before, string(now)))
			}
		case "0\n":
			written++
			if string(now) != after {
				t.Errorf("%d blocks: the new files are not there alone:\n%s", blocks, cmp.Diff(after, string(now)))
			}
		default:
			t.Fatalf("%d blocks: exit %s%s", blocks, code, said)
		}
		if blocks > 10*need {
			t.Fatalf("the second policy never fits, in %d blocks", blocks)
		}
	}
	if failed == 0 {
		t.Error("no disk was full")
	}
	results.add("compile on a full disk", failed+written, 0)
}

// However little room there is in /run, apply ends with the previous rules or the new
// ones, says which, and leaves nothing but its notes behind.
func TestApplyOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			oneBackEnd(t, b)
			Need(t, "unshare")
			t.Parallel()
			w, _, state := faultWorld(t, b)
			previous, policy, run := state(), policyFile(t, 2), t.TempDir()
			restore := map[packet.Family]string{packet.IPv4: b.Save(w.top.Host, packet.IPv4, "filter"), packet.IPv6: b.Save(w.top.Host, packet.IPv6, "filter")}
			failed, kept := 0, 0
			for blocks := 1; kept < 3; blocks++ {
				script := fmt.Sprintf("%s apply %s --yes --force --confirm-within 0 --run-dir %[3]s 2>&1; code=$?; ls -A %[3]s >&2; exit $code", mustSeawall(t), policy, run)
				c := smallDisk(w.top.Host, run, blocks, script)
				c.Env = w.seawallOn().Env
				var said, left bytes.Buffer
				c.Stdout, c.Stderr = &said, &left
				_ = c.Run() // the exit code is looked at
				code, now := c.ProcessState.ExitCode(), state()
				text := said.String() + "left:\n" + left.String()
				switch {
				case strings.Contains(left.String(), folderPrefix):
					t.Errorf("%d blocks: exit %d, and a folder is left:\n%s", blocks, code, text)
				case code == 0 && now != previous:
					kept++
				case code > 0 && now == previous && strings.Contains(strings.ToLower(text), "no space left on device"):
					failed++
				default:
					t.Errorf("%d blocks: exit %d, and the rules are the previous ones: %t\n%s", blocks, code, now == previous, text)
				}
				for f, rules := range restore {
					if said, err := w.top.Host.Run(strings.NewReader(rules), b.Command(f, "-restore"), "-w", "10"); err != nil {
						t.Fatalf("%v: %s", err, said)
					}
				}
				if blocks > 200 {
					t.Fatal("apply never fits")
				}
			}
			if failed == 0 {
				t.Error("no disk was full")
			}
			t.Logf("%d full, %d not", failed, kept)
			results.add("apply on a full disk, "+string(b), failed+kept, 0)
		})
	}
}

// The policy is kept, and apply says so, where its note cannot be written.
func TestApplyWithoutItsNote(t *testing.T) {
	t.Parallel()
	w, _, state := faultWorld(t, Legacy)
	previous, run := state(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(run, "loaded-4", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	said, err := w.seawallOn("apply", policyFile(t, 2), "--yes", "--confirm-within", "0", "--run-dir", run).CombinedOutput()
	note := "Note: the policy is kept, but the record of its rules in " + run + " could not be written: "
	if err != nil || !strings.Contains(string(said), note) || !strings.Contains(string(said), "Loaded, and proved in the kernel.") {
		t.Errorf("%v\n%s", err, said)
	}
	if state() == previous {
		t.Error("the policy is not there")
	}
	w.holds("without its note", lifePolicy(2))
	if left, err := filepath.Glob(filepath.Join(run, ".loaded*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// folderPrefix begins the names of the folders that apply removes when it ends.
const folderPrefix = "apply-"
