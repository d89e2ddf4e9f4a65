package iptables_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/internal/judge/restore"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// hostDecides lists rules that Parse accepts although they do not load on this
// machine: a name in them, or a kernel module, depends on the host.
var hostDecides = []string{
	"--uid-owner nosuchuser", "--helper nosuchhelper", "--timeout nosuch", "--path /x", "-m devgroup", "--realm foo", "--realm x", "--label foo",
	"--nfacct-name nosuch", "-j FOO", "--dport foo", "--to-ports foo", "--to-ports http-81", "--match-set nosuch", "--add-set nosuch", "--object-pinned",
	"-m osf", "--algo fsm", "-j ACCPET", "-m l2tp", "-m length2", "-m ipvs", "-j LED", "-j CLUSTERIP", "-m rateest", "--timeout a", "CT --helper ftp",
	"--match-set a", "--add-set a",
}

// notLookedAt lists rules that no host loads and that Parse accepts: it does not
// check what match/modules.go says these modules check. They are undecided.
var notLookedAt = []string{
	"-m u32", "--bytecode", "-j RATEEST", "-j HMARK",
}

// joined lists words that 1.8.9 takes as a whole as a value, and later versions as
// an option with its value. Parse accepts them.
var joined = []string{
	"-jLOG", "-jDROP", "--jump=DROP", "-ptcp", "--protocol=", "--src=", "--source=", "--dst=", "-s10", "-d10", "--in-interface=",
	"--out-interface=", "-jSEAWALL-INPUT",
}

// Parse accepts a rule if and only if both back ends load it; a rule that only one
// of them refuses may go either way.
func TestChecksOfModules(t *testing.T) {
	needs(t)
	var text []byte
	for _, name := range []string{"testdata/checks.txt", "testdata/checks_more.txt"} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	var rules, files []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		rules = append(rules, line)
		also := ":SEAWALL-INPUT - [0:0]\n"
		if f[0] != "filter" {
			also = ""
		}
		files = append(files, fmt.Sprintf("*%s\n:%s ACCEPT [0:0]\n%s-A %s %s\nCOMMIT\n", f[0], f[1], also, f[1], f[2]))
	}
	verdicts := map[string][]restore.Verdict{}
	for _, backend := range []string{"nft", "legacy"} {
		var err error
		if verdicts[backend], err = restore.Loads(backend, 4, false, files); err != nil {
			t.Fatal(err)
		}
	}
	for i, rule := range rules {
		_, err := iptables.Parse([]byte(files[i]), iptables.Options{Family: packet.IPv4, Flush: true})
		nft, legacy := verdicts["nft"][i], verdicts["legacy"][i]
		has := func(s string) bool { return strings.Contains(rule, s) }
		switch {
		case nft.Accepted != legacy.Accepted:
			t.Logf("nft %v, legacy %v, parsed %v: %s", nft.Accepted, legacy.Accepted, err == nil, rule)
		case nft.Accepted && err != nil:
			t.Errorf("loads, but Parse refuses it: %s: %v", rule, err)
		case !nft.Accepted && err == nil && !anyOf(has, hostDecides) && !anyOf(has, notLookedAt) && !anyOf(has, joined):
			t.Errorf("does not load, but Parse accepts it: %s: %s", rule, strings.TrimSpace(nft.Message+legacy.Message))
		}
	}
}

func anyOf(has func(string) bool, list []string) bool {
	for _, s := range list {
		if has(s) {
			return true
		}
	}
	return false
}
