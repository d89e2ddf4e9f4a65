package emit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Persistent is a boot file for Debian's netfilter-persistent, which can also be loaded
// with --noflush while Docker runs (NETFILTER.md section 10). It has no option of its own:
// it is sysconfig, for that system.
var Persistent = &Format{
	Name: Sysconfig.Name, Names: persistentNames, Splice: splicePersistent, Reloads: true, Loaded: persistentLoaded,
	Files: func(c *Chains) []File { return perFamily(c, persistentNames[0], persistentNames[1], persistent) },
}

var persistentNames = [2]string{"rules.v4", "rules.v6"}

// flushInput makes the file the owner of INPUT: a load with --noflush would otherwise add
// the jump to SEAWALL-INPUT once more each time.
const flushInput = "-F INPUT"

// OwnReload reports whether a file has Seawall's rules as Persistent writes them.
func OwnReload(text []byte) bool {
	return (Generated(text) || HasBlock(text)) && bytes.Contains(text, []byte("\n"+flushInput+"\n"))
}

// persistent is a part of a filter table, without FORWARD, whose rules are Docker's: it
// makes the jump to DOCKER-USER when it starts, and a load with --noflush keeps that. A
// jump in the file would be there once more after each load, for no command of a file
// depends on what is there.
func persistent(c *Chains, f packet.Family) []byte {
	t := c.Table(f)
	b := begun(c, t)
	b.WriteString("*filter\n")
	iptables.PrintDeclarations(b, t)
	b.WriteString(flushInput + "\n")
	for _, j := range jumps(c) {
		if !fromForward(j) {
			fmt.Fprintf(b, "-A %s\n", j)
		}
	}
	iptables.PrintRules(b, t)
	b.WriteString("COMMIT\n")
	return b.Bytes()
}

func fromForward(jump string) bool { return strings.HasPrefix(jump, "FORWARD ") }

// PluginName is the plugin of netfilter-persistent that makes the jumps to DOCKER-USER.
const PluginName = "90-seawall"

// PersistentPlugin is the same for every policy. It makes the jump from FORWARD where it
// is missing, once the rules are loaded: Docker makes one when it starts, but for IPv6
// only with ip6tables in daemon.json, as by default from Docker 27 on.
func PersistentPlugin() File {
	return File{Name: PluginName, Hook: true, Bytes: []byte("#!/bin/sh\n# " + generatedBy + `a policy; DO NOT EDIT.
# netfilter-persistent runs it after it has loaded the rules.
set -e

case "$1" in
start)
	for seawall in iptables ip6tables; do
		"$seawall" -w 10 -S ` + iptables.DockerUser + ` >/dev/null 2>&1 || continue
		"$seawall" -w 10 -C FORWARD -j ` + iptables.DockerUser + ` 2>/dev/null || "$seawall" -w 10 -I FORWARD -j ` + iptables.DockerUser + `
	done
	;;
*) ;;
esac
`)}
}

// Loaded returns the text of a file with the rules that are there when it is loaded, and
// how many lines they are: where Persistent leaves the jump from FORWARD to others.
func Loaded(text []byte) (loaded []byte, before int) {
	if !OwnReload(text) {
		return text, 0
	}
	loaded = persistentLoaded(nil, text, 0)
	return loaded, bytes.Count(loaded[:len(loaded)-len(text)], []byte("\n"))
}

// splicePersistent is Splice for such a file. One that Seawall generated as a whole has
// nothing to keep.
func splicePersistent(base []byte, c *Chains, f packet.Family) (File, []string, error) {
	if Generated(base) && !HasBlock(base) && !edited(base) {
		file := perFamily(c, persistentNames[0], persistentNames[1], persistent)[(f-packet.IPv4)/2]
		file.Base = base
		return file, nil, nil
	}
	return splice(base, c, f, persistentNames, true)
}

// noteAgain notes the rules of the base that each load with --noflush adds once more.
func (s *splicer) noteAgain(kept []string) {
	table, count, first := "", 0, ""
	for _, line := range kept {
		text := strings.TrimRight(line, "\r\n")
		fields := withoutCounters(text)
		switch {
		case strings.HasPrefix(text, "*"):
			table = text[1:]
		case len(fields) < 2 || fields[0] != "-A" && fields[0] != "-I":
		case table == "filter" && fields[1] == "INPUT", !(&iptables.Table{Name: table}).Builtin(fields[1]):
		default:
			if count++; count == 1 {
				first = text
			}
		}
	}
	if count > 0 {
		s.note("each reload of netfilter-persistent with IPTABLES_RESTORE_NOFLUSH adds the rules of built-in chains other than INPUT again; the file has %d, the first is %s", count, first)
	}
}

// withoutForward drops the line that sets FORWARD's policy to ACCEPT: each reload would,
// where Docker has set it to DROP.
func (s *splicer) withoutForward(list []string) []string {
	table := ""
	return slices.DeleteFunc(slices.Clone(list), func(line string) bool {
		text := strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(text, "*") {
			table = strings.TrimSpace(text[1:])
		}
		sets := table == "filter" && strings.HasPrefix(text, ":FORWARD ACCEPT")
		if sets {
			s.note("%s was removed: each reload would set the policy of FORWARD, which is Docker's to set", text)
		}
		return sets
	})
}

// persistentLoaded is what is in the filter table once Docker has made its jump, and a
// file has been loaded beside it.
func persistentLoaded(_ *Chains, text []byte, _ packet.Family) []byte {
	jump := fmt.Sprintf("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:%[1]s - [0:0]\n-F INPUT\n-F FORWARD\n-F OUTPUT\n-A FORWARD -j %[1]s\nCOMMIT\n", iptables.DockerUser)
	return append([]byte(jump), text...)
}
