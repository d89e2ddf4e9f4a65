package nftables

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// needs skips a test where nft cannot be run in a network namespace of its own.
func needs(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("nft")
	if os.Getuid() == 0 && err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs root and nft")
	}
	t.Skip("needs root and nft, to load texts in a network namespace")
}

// load loads a text in a network namespace of its own, and returns what nft says.
func load(text string) (loads bool, message string) {
	cmd := exec.Command("nft", "-f", "-")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return err == nil, string(out)
}

// stride is how many texts of the table one is loaded of; NFTABLES_TEXTS=all loads all.
const stride = 4

// testdata/texts.txt says what nft does. The texts with a reason are all loaded, of
// the others every fourth.
func TestNftLoadsShortTexts(t *testing.T) {
	needs(t)
	version, err := exec.Command("nft", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	recorded := bytes.Contains(version, []byte("v1.0.6 "))
	work := make(chan shortText)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for x := range work {
				loads, message := load(x.full)
				switch {
				case loads == x.loads:
				case !recorded:
					t.Logf("another version than 1.0.6 differs: %s: %s", x.line, message)
				default:
					t.Errorf("%s: nft: %v %s", x.line, loads, message)
				}
			}
		})
	}
	n := 0
	for i, x := range readTexts(t) {
		if x.reason != "" || i%stride == 0 || os.Getenv("NFTABLES_TEXTS") == "all" {
			work <- x
			n++
		}
	}
	close(work)
	wait.Wait()
	if n < 300 {
		t.Errorf("only %d texts were loaded", n)
	}
}
