package iptables_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/exttest"
	"github.com/seawall/seawall/compiler/internal/judge/oracle"
	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/iptables/match"
	"github.com/seawall/seawall/compiler/packet"
)

// needs skips a test without root and iptables; in CI the test fails.
func needs(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("iptables-nft-restore")
	if os.Getuid() == 0 && err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs root and iptables")
	}
	t.Skip("needs root and iptables, to run iptables-restore in a network namespace")
}

// disagreements are the reasons why Parse and iptables-restore may disagree about a
// text. Where Parse refuses what loads, no false "equal" can result; where it
// accepts what is refused, the rule is undecided, or it depends on the host that
// loads the file.
var disagreements = []struct {
	refused bool   // Parse refuses the text
	said    string // part of the message of the one that refuses
	why     string
}{
	{true, "would be looked up", "host names are refused: they could resolve to a different address each time"},
	{true, "is not valid in a rules file", "-h and -V end a load with status 0"},
	{true, "takes the rest as another line", "iptables takes the rest of a long line as another line"},
	{true, "has a NUL byte", "iptables ignores what follows a NUL"},
	{true, "is not a valid value for", "values that iptables reads in a surprising way: ports above 65535 and empty ones, addresses of getaddrinfo"},
	{true, "needs -p", "iptables detects it at the commit, when a later line may have deleted the rule"},
	{true, "cannot start with", "names with - or ! at the front: only legacy accepts them"},
	{true, "is not a chain name", "names with odd blanks: only legacy accepts them"},
	{true, "is not a protocol", "mptcp and the like have numbers above 255, and match nothing"},
	{true, "and cannot be deleted", "-X of the chains of the kernel and of the file"},
	{true, "is a built-in chain, and no rule can lead to it", "iptables detects it at the commit, when a later line may have deleted the rule"},
	{true, "has 0 rules; there is no rule", "-D CHAIN NUMBER after -F of all chains: only nf_tables deletes a rule that is gone"},
	{false, "No chain/target/match by that name", "with --noflush a chain may be in the kernel"},
	{false, "does a matching rule exist in that chain", "with --noflush a chain may have the rule already"},
	{false, "does not exist", "with --noflush a chain may be in the kernel; a target may be an extension that is not installed here"},
	{false, "is not a chain", "with --noflush a chain may be in the kernel"},
	{false, "Couldn't load", "a match or target that this iptables does not have: undecided"},
	{false, "Need TCP, UDP, SCTP or DCCP", "checks by modules that are not evaluated"},
	{false, "Match type has to be", "checks by modules that are not evaluated"},
	{false, "Bad IP address", "checks by modules that are not evaluated"},
	{false, "bad rate", "checks by modules that are not evaluated"},
	{false, "Unknown sctp chunk|Garbage after port value|Invalid flags for chunk|Unknown DCCP type", "checks by modules that are not evaluated"},
	{false, "Port `.*' not valid", "checks by modules that are not evaluated"},
	{false, "unknown protocol \"-|host/network `-|Couldn't load target `-", joinedWord},
	{false, "invalid port/service", "a port name may be in another /etc/services: undecided"},
	{false, "does not resolve", "a port name may be in another /etc/services: undecided"},
	{false, "_(APPEND|INSERT|REPLACE) failed", "only the kernel detects it, at the commit"},
	{false, "Bad built-in chain name", "-Z of a chain that nf_tables has not created yet; a policy of a user-defined chain"},
	{false, "CHAIN_RENAME failed", "-E of a chain of the same section, in nf_tables"},
}

const joinedWord = "-ptcp, --source=10.0.0.1: 1.8.9 takes the whole word as the value, later versions do not"

// joinedTarget matches -jNAME. iptables 1.8.9 knows no target named "-jNAME", and
// none of its options.
var joinedTarget = regexp.MustCompile(`(^|\s)(-[jio]\S|--(ju|jump|in|out)\S*=)`)

// reason returns the known reason for a disagreement, or "".
func reason(err error, messages string) string {
	if err != nil {
		messages = err.Error()
	}
	for _, d := range disagreements {
		if d.refused == (err != nil) && regexp.MustCompile(d.said).MatchString(messages) {
			return d.why
		}
	}
	return ""
}

// Parse accepts a text if and only if iptables-restore loads it with one back end
// or the other; what only the kernel detects at the commit is not checked.
func TestTextsAreReadAsIptablesLoadsThem(t *testing.T) {
	needs(t)
	counts := map[string]int{}
	examples := map[string]string{}
	for seed := range uint64(times(1, 19)) {
		for _, family := range []int{4, 6} {
			for _, noflush := range []bool{false, true} {
				askRestore(t, seed, family, noflush, times(350, 700), counts, examples)
			}
		}
	}
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Logf("%6d %s", counts[name], name)
	}
	for name, text := range examples {
		t.Errorf("%s:\n%q", name, text)
	}
}

func askRestore(t *testing.T, seed uint64, family int, noflush bool, n int, counts map[string]int, examples map[string]string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, uint64(family)))
	texts := make([]string, n)
	for i := range texts {
		texts[i] = restore.Text(r, family)
	}
	var loads [][]restore.Verdict
	for _, backend := range []string{"nft", "legacy"} {
		// --test does not see what the file itself creates; a real load does.
		list, err := restore.Loads(backend, family, noflush, texts)
		if err != nil {
			t.Fatal(err)
		}
		loads = append(loads, list)
	}
	for i, text := range texts {
		nft, legacy := loads[0][i], loads[1][i]
		taken := nft.Accepted && !nft.EndedEarly() || legacy.Accepted && !legacy.EndedEarly()
		f, err := iptables.Parse([]byte(text), iptables.Options{Family: packet.Family(family), NoFlush: noflush})
		if nft.Crashed() {
			counts["texts on which nf_tables crashes"]++
			continue
		}
		counts["texts"]++
		if taken {
			counts["texts that load"]++
		}
		if taken == (err == nil) {
			continue
		}
		why := reason(err, nft.Message+legacy.Message)
		if why == "" && err == nil && joinedTarget.MatchString(at(text, nil, nft.Message+legacy.Message)) {
			why = joinedWord
		}
		if why == "" && err == nil && hasUnread(f) {
			why = "a match or target that this iptables does not have: undecided"
		}
		name := "refused, but it loads: " + why
		if err == nil {
			name = "accepted, but it does not load: " + why
		}
		counts[name]++
		if why == "" {
			said := "accepted, but refused: " + firstLine(nft.Message) + " / " + firstLine(legacy.Message)
			if err != nil {
				said = "refused, but it loads: " + err.Error()
			}
			counts["UNEXPLAINED "+cut(said)]++
			examples[cut(said)] = at(text, err, nft.Message+legacy.Message) + "\n----\n" + text
		}
	}
}

// hasUnread reports whether a file has a rule with words that could not be parsed.
func hasUnread(f *iptables.File) bool {
	for _, t := range f.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules() {
				_, standard := match.Standard[r.Target.Name]
				unknown := r.To == nil && r.Target.Module == nil && !standard && t.Chain(r.Target.Name) == nil
				if r.Unread != "" || unknown && r.Target.Name != "" {
					return true
				}
			}
		}
	}
	return false
}

func firstLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[max(0, len(lines)-2)] + "|" + lines[len(lines)-1]
}

var lineNumber = regexp.MustCompile(`line:? (\d+)`)

// at returns the line of a text that an error or a message refers to.
func at(text string, err error, message string) string {
	if err != nil {
		message = err.Error()
	}
	lines := strings.Split(text, "\n")
	if m := lineNumber.FindAllStringSubmatch(message, -1); m != nil {
		if n, err := strconv.Atoi(m[len(m)-1][1]); err == nil && n > 0 && n <= len(lines) {
			return lines[n-1] + "\n" + message
		}
	}
	return text
}

func cut(text string) string {
	if len(text) > 160 {
		return text[:160]
	}
	return text
}

var (
	_ = exttest.NFT
	_ = oracle.Options{}
)
