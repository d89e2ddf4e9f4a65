package iptables_test

import (
	"os"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// A file is read exactly when both back ends load it. Those of testdata/files.txt
// are about what a line does to the lines around it; a block that only one back end
// loads, or that one version loads and another does not, begins with "#either".
func TestFilesByHand(t *testing.T) {
	needs(t)
	text, err := os.ReadFile("testdata/files.txt")
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Split(string(text), "\n\n")
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], "\n") + "\n"
	}
	verdicts := map[string][]restore.Verdict{}
	for _, backend := range []string{"nft", "legacy"} {
		if verdicts[backend], err = restore.Loads(backend, 4, false, files); err != nil {
			t.Fatal(err)
		}
	}
	for i, file := range files {
		_, err := iptables.Parse([]byte(file), iptables.Options{Family: packet.IPv4, Flush: true})
		nft, legacy := verdicts["nft"][i], verdicts["legacy"][i]
		switch {
		case strings.HasPrefix(file, "#either"):
			t.Logf("nft %v, legacy %v, read %v: %s", nft.Accepted, legacy.Accepted, err == nil, file)
		case nft.Accepted != legacy.Accepted:
			t.Errorf("nft %v %s, legacy %v %s, read %v:\n%s", nft.Accepted, nft.Message, legacy.Accepted, legacy.Message, err == nil, file)
		case nft.Accepted && err != nil:
			t.Errorf("loads and is refused: %v:\n%s", err, file)
		case !nft.Accepted && err == nil:
			t.Errorf("does not load and is read: %s:\n%s", strings.TrimSpace(nft.Message+legacy.Message), file)
		}
	}
}
