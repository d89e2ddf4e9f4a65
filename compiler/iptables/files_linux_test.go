package iptables_test

import (
	"os"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Parse accepts a file if and only if both back ends load it. The files in
// testdata/files.txt test how a line affects the lines around it; a block that only
// one back end loads, or that one version loads and another does not, begins with
// "#either".
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
			t.Logf("nft %v, legacy %v, parsed %v: %s", nft.Accepted, legacy.Accepted, err == nil, file)
		case nft.Accepted != legacy.Accepted:
			t.Errorf("nft %v %s, legacy %v %s, parsed %v:\n%s", nft.Accepted, nft.Message, legacy.Accepted, legacy.Message, err == nil, file)
		case nft.Accepted && err != nil:
			t.Errorf("loads, but Parse refuses it: %v:\n%s", err, file)
		case !nft.Accepted && err == nil:
			t.Errorf("does not load, but Parse accepts it: %s:\n%s", strings.TrimSpace(nft.Message+legacy.Message), file)
		}
	}
}
