package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// The way back is a fixed script, and files with what iptables-save and ipset save
// printed: those bytes are loaded again, so nothing is lost in between.
//
//	rules-4, rules-6    the lines of DOCKER-USER and of Seawall's chains
//	chains-4, chains-6  the names of those chains, and DOCKER where it was there
//	jumps-4, jumps-6    for FORWARD and for INPUT: how many other rules it has, and
//	                    at which places the jumps to these chains stand
//	set-N, set-N.name   each set that the rules ask for
const back = `#!/bin/sh
# Brings back what iptables-save and ipset save printed before "seawall apply":
# DOCKER-USER, Seawall's chains, the jumps to them, and sets that are gone.
# With --test it tries whether that would load now, and changes nothing.
set -u
cd "$(dirname "$0")" || exit 1
IPTABLES=${IPTABLES:-iptables}
IP6TABLES=${IP6TABLES:-ip6tables}
IPSET=${IPSET:-ipset}
action=${1:-}

say() {
	printf '%s\n' "$*" >&2
}

# state COMMAND: the current chains and jumps that matter here.
state() {
	all=$("$1" -w 10 -S) || return 1
	printf '%s\n' "$all" | sed -n -e '/^-N SEAWALL-/p' -e '/^-N DOCKER$/p' -e '/^-N DOCKER-USER$/p' -e '/^-A FORWARD /p' -e '/^-A INPUT /p'
}

# jumps STATE FROM TO OTHERS PLACES: lines that take every "-j TO" out of FROM and
# put it where it was, or first when other rules of FROM came or went.
jumps() {
	others=0 there=0
	while read -r line; do
		case $line in
		"-A $2 -j $3") there=$((there + 1)) ;;
		"-A $2 "*) others=$((others + 1)) ;;
		esac
	done <<STATE
$1
STATE
	while [ "$there" -gt 0 ]; do
		printf -- '-D %s -j %s\n' "$2" "$3"
		there=$((there - 1))
	done
	if [ "$others" = "$4" ]; then
		for at in $5; do
			printf -- '-I %s %s -j %s\n' "$2" "$at" "$3"
		done
	elif [ -n "$5" ]; then
		printf -- '-I %s -j %s\n' "$2" "$3"
	fi
}

# leftover STATE CHAINS: chains that were not there.
leftover() {
	while read -r verb chain; do
		if [ "$verb" = -N ] && [ "$chain" != DOCKER ]; then
			case " $2 " in
			*" $chain "*) ;;
			*) printf '%s\n' "$chain" ;;
			esac
		fi
	done <<STATE
$1
STATE
}

# load COMMAND FAMILY [--test]: everything of one family in one commit.
load() {
	command=$1 family=$2
	shift 2
	now=$(state "$command") || return 1
	rules=$(cat "rules-$family") || return 1
	chains=$(cat "chains-$family") || return 1
	{
		read -r forward_others forward_at
		read -r input_others input_at
	} <"jumps-$family" || return 1
	docker=no
	case "
$now
" in *"
-N DOCKER
"*) docker=yes ;;
	esac
	case " $chains " in
	*" DOCKER "*) docker=no ;; # it was there before
	esac
	gone=$(leftover "$now" "$chains")
	text=$(
		echo '*filter'
		if [ -n "$rules" ]; then
			printf '%s\n' "$rules"
		fi
		jumps "$now" FORWARD DOCKER-USER "$forward_others" "$forward_at"
		jumps "$now" INPUT SEAWALL-INPUT "$input_others" "$input_at"
		for chain in $gone; do
			printf -- '-F %s\n' "$chain"
		done
		for chain in $gone; do
			if [ "$chain" != DOCKER-USER ] || [ "$docker" = no ]; then
				printf -- '-X %s\n' "$chain"
			else # Docker has come since, and asks this chain first
				printf -- '-I FORWARD -j DOCKER-USER\n'
			fi
		done
		echo COMMIT
	)
	printf '%s\n' "$text" | "$command-restore" -w 10 --noflush "$@"
}

# sets: those that are gone are made again.
sets() {
	n=1
	while [ -e "set-$n" ]; do
		name=$(cat "set-$n.name") || return 1
		"$IPSET" list -n "$name" >/dev/null 2>&1 || "$IPSET" restore <"set-$n" || return 1
		n=$((n + 1))
	done
}

if [ "$action" = --test ]; then
	load "$IPTABLES" 4 --test && load "$IP6TABLES" 6 --test
	exit
fi
trap '' HUP INT TERM # what has begun comes to its end
failed=
sets || failed=sets
load "$IPTABLES" 4 || failed="$failed IPv4"
load "$IP6TABLES" 6 || failed="$failed IPv6"
if [ -n "$failed" ]; then
	say "the previous rules could not be loaded:" $failed
	exit 1
fi
if command -v "$IPSET" >/dev/null 2>&1; then
	"$IPSET" list -n 2>/dev/null | sed -n '/^SEAWALL-s[46]-/p' | while read -r set; do
		"$IPSET" destroy "$set" 2>/dev/null
	done
fi
exit 0
`

// keep writes what the kernel holds now into the folder, byte for byte.
func (h *Host) keep(dir string) error {
	var sets []string
	for _, f := range packet.Families {
		src, err := h.output(command(f)+"-save", "-t", "filter")
		if err != nil {
			return err
		}
		file, err := parseSaved(src, f)
		if err != nil {
			return err
		}
		sets = append(sets, asked(file.Table("filter"))...)
		p := ownLines(src)
		if bytes.Contains(src, []byte("\n:DOCKER ")) {
			p.chains = append(p.chains, "DOCKER")
		}
		for name, text := range map[string]string{
			"rules": strings.Join(append(p.declared, p.rules...), "\n") + "\n", "chains": strings.Join(p.chains, " ") + "\n",
			"jumps": jumpsIn(src, "FORWARD", iptables.DockerUser) + jumpsIn(src, "INPUT", iptables.SeawallInput),
		} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d", name, f)), []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	slices.Sort(sets)
	for i, name := range slices.Compact(sets) {
		text, err := h.output(ipsetCommand(), "save", name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, fmt.Sprintf("set-%d", i+1))
		if err := errors.Join(os.WriteFile(path+".name", []byte(name+"\n"), 0o600), os.WriteFile(path, text, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// asked are the sets that Seawall's chains ask for.
func asked(t *iptables.Table) []string {
	if t == nil {
		return nil
	}
	var names []string
	for _, c := range t.Chains {
		if !iptables.Owned(c.Name) {
			continue
		}
		for _, r := range c.Rules {
			for _, m := range r.Matches {
				for _, o := range m.Options {
					if o.Name == "--match-set" {
						names = append(names, o.Values[0])
					}
				}
			}
		}
	}
	return names
}

// printed is the part of what iptables-save prints that is Seawall's to replace.
type printed struct {
	declared, chains, rules []string
}

func ownLines(src []byte) printed {
	var p printed
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSuffix(line, "\n")
		word, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(line, ":"), "-A "), " ")
		switch {
		case !iptables.Owned(word):
		case strings.HasPrefix(line, ":"):
			p.declared, p.chains = append(p.declared, line), append(p.chains, word)
		case strings.HasPrefix(line, "-A "):
			p.rules = append(p.rules, line)
		}
	}
	return p
}

// jumpsIn is a line of the file jumps-N.
func jumpsIn(src []byte, from, to string) string {
	others, at, places := 0, 0, ""
	for line := range bytes.Lines(src) {
		switch text := strings.TrimSuffix(string(line), "\n"); {
		case text == "-A "+from+" -j "+to:
			at++
			places += fmt.Sprintf(" %d", at)
		case strings.HasPrefix(text, "-A "+from+" "):
			at++
			others++
		}
	}
	return fmt.Sprintf("%d%s\n", others, places)
}
