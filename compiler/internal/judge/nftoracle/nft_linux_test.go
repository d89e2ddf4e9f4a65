package nftoracle

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// count returns how many rulesets a test looks at: few, or as many as
// NFTORACLE_FILES says.
func count(t *testing.T, few int) int {
	s := os.Getenv("NFTORACLE_FILES")
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func needNft(t *testing.T) Nft {
	t.Helper()
	n := Nft(os.Getenv("NFTORACLE_NFT"))
	if err := n.Available(); err != nil {
		t.Skipf("nft cannot be used here: %v", err)
	}
	return n
}

// random makes the ruleset of a number.
func random(i int) (*rand.Rand, File) {
	r := rand.New(rand.NewPCG(uint64(i), 11))
	return r, Random(r, Options{Unknown: i%3 == 0, Forward: i%2 == 0})
}

// TestRandomLoads has nft load random rulesets.
func TestRandomLoads(t *testing.T) {
	nft := needNft(t)
	for i := range count(t, 60) {
		r, f := random(i)
		set, err := nft.Load(f.Text)
		if err != nil {
			t.Errorf("ruleset %d: %v\n%s", i, err, f.Text)
			continue
		}
		for range 20 {
			p := RandomPacket(r, f)
			for _, hook := range []string{"forward", "input"} {
				got := set.Verdicts(hook, p)
				if len(got) == 0 || len(got) > 1 && i%3 != 0 && !vague(p) {
					t.Fatalf("ruleset %d, %s: %q of %+v\n%s", i, hook, got, p, f.Text)
				}
			}
		}
	}
}

// vague reports whether something of the packet is not known.
func vague(p Packet) bool {
	return p.Fragment || p.SNAT || !p.ported()
}

// TestVersionsAgree has the versions of nft that are here load and list the same
// rulesets: what becomes of packets is the same.
func TestVersionsAgree(t *testing.T) {
	own := needNft(t)
	others := Fetched()
	if len(others) == 0 {
		t.Skip("SEAWALL_ENGINES names no folder with another nft")
	}
	for i := range count(t, 40) {
		r, f := random(i)
		set, err := own.Load(f.Text)
		if err != nil {
			t.Fatal(err)
		}
		for suite, nft := range others {
			other, err := nft.Load(f.Text)
			if err != nil {
				t.Errorf("ruleset %d: %s: %v\n%s", i, suite, err, f.Text)
				continue
			}
			for range 30 {
				p := RandomPacket(r, f)
				if a, b := set.Outcomes("forward", p), other.Outcomes("forward", p); !slices.Equal(a, b) {
					t.Errorf("ruleset %d: %v, by %s %v, of %+v\n%s", i, a, suite, b, p, f.Text)
				}
			}
		}
	}
}

func TestNftRefuses(t *testing.T) {
	_, err := needNft(t).Load("table inet t {\n\tnonsense\n}\n")
	if _, ok := err.(*Refusal); !ok || !strings.Contains(err.Error(), ":2:") {
		t.Errorf("%v is not a refusal of line 2", err)
	}
}
