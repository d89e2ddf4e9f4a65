package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// The way back is a fixed script, and files with the output of iptables-save and ipset
// save: those bytes are loaded again, so nothing is lost.
//
//	rules-4, rules-6    the lines of DOCKER-USER and of Seawall's chains
//	chains-4, chains-6  the names of those chains, and DOCKER if it existed
//	jumps-4, jumps-6    for FORWARD and for INPUT: how many other rules it has, and
//	                    the positions of the jumps to these chains
//	needs-4, needs-6    foreign chains that DOCKER-USER jumps to
//	set-N, set-N.name   each set that the rules match
//	drop-N, ours-N, others-N, ahead-N, put-N, joined-N
//	                    instead of the lines of a shared DOCKER-USER (sharing.go): Seawall's
//	                    rules that the load removes, all of Seawall's, those of others, those
//	                    of others before Seawall's first, the commands that put Seawall's
//	                    back among them, and whether the jump is all that there is
//	notes               written by the script: what was not restored exactly, and why
const back = `#!/bin/sh
# Restores what iptables-save and ipset save printed before "seawall apply":
# DOCKER-USER, Seawall's chains, the jumps to them, and missing sets.
# With --test it only checks that this would load now.
set -u
cd "$(dirname "$0")" || exit 1
IPTABLES=${IPTABLES:-iptables}
IP6TABLES=${IP6TABLES:-ip6tables}
IPSET=${IPSET:-ipset}
action=${1:-}

say() {
	printf '%s\n' "$*" >&2
}

note() {
	[ "$action" = --test ] || printf '%s\n' "$*" >>notes
}

# moved FROM TO: called by jumps when it cannot put a jump where it was.
moved() {
	note "IPv$family: other rules in $1 changed meanwhile; the jump to $2 now comes first."
}

# state COMMAND: the current chains, and the rules in those with the jumps.
state() {
	all=$("$1" -w 10 -S) || return 1
	printf '%s\n' "$all" | sed -n -e '/^-N /p' -e '/^-A FORWARD /p' -e '/^-A INPUT /p' -e '/^-A DOCKER-USER /p'
}

# has STATE CHAIN: whether the chain exists.
has() {
	case "
$1
" in
	*"
-N $2
"*) return 0 ;;
	esac
	return 1
}

` + emit.Jumps + rejoin + `
# leftover STATE CHAINS: chains that did not exist before.
leftover() {
	while read -r verb chain; do
		case $verb$chain in
		-NSEAWALL-* | -NDOCKER-USER)
			case " $2 " in
			*" $chain "*) ;;
			*) printf '%s\n' "$chain" ;;
			esac
			;;
		esac
	done <<STATE
$1
STATE
}

# text LEAVE: the rules to load for one family. With LEAVE, chains that did not
# exist before stay, but empty.
text() {
	echo '*filter'
	for chain in $needs; do # somebody deleted it; an empty one has the same effect
		has "$now" "$chain" || printf -- '-N %s\n' "$chain"
	done
	if [ -n "$rules" ]; then
		printf '%s\n' "$rules"
	fi
	if [ -n "$user" ]; then
		printf '%s\n' "$user"
	fi
	[ "$stays" = yes ] || jumps "$now" FORWARD DOCKER-USER "$forward"
	jumps "$now" INPUT SEAWALL-INPUT "$input"
	for chain in $gone; do
		if [ "$chain" != DOCKER-USER ] || [ "$shared" = no ]; then
			printf -- '-F %s\n' "$chain"
		fi
	done
	for chain in $gone; do
		if [ "$chain" = DOCKER-USER ] && [ "$stays" = yes ]; then
			continue
		elif [ "$chain" = DOCKER-USER ] && [ "$docker" = yes ]; then
			printf -- '-I FORWARD -j DOCKER-USER\n' # Docker was started since, and uses this chain first
		elif [ -z "$1" ]; then
			printf -- '-X %s\n' "$chain"
		fi
	done
	echo COMMIT
}

# load COMMAND FAMILY [--test]: load all of one family in one commit.
load() {
	command=$1 family=$2
	shift 2
	now=$(state "$command") || return 1
	rules=$(cat "rules-$family") || return 1
	chains=$(cat "chains-$family") || return 1
	needs=$(cat "needs-$family") || return 1
	{
		read -r forward
		read -r input
	} <"jumps-$family" || return 1
	docker=no
	if has "$now" DOCKER; then
		case " $chains " in
		*" DOCKER "*) ;; # it existed before
		*) docker=yes ;;
		esac
	fi
	gone=$(leftover "$now" "$chains")
	user='' stays=no shared=no
	if [ -e "ours-$family" ]; then
		shared=yes
		user=$(rejoin "$now") || return 1
		case " $chains " in
		*" DOCKER-USER "*) ;;
		*)
			if [ "$docker" = yes ] || others "$now"; then
				stays=yes # and so does the jump to it
			fi
			;;
		esac
	fi
	if text '' | "$command-restore" -w 10 --noflush "$@"; then
		return 0
	fi
	# Other rules may jump to a chain by now, or be in a shared DOCKER-USER.
	case " $chains " in
	*" DOCKER-USER "*) ;;
	*) stays=$shared ;;
	esac
	[ -n "$gone" ] && text leave | "$command-restore" -w 10 --noflush "$@" || return 1
	note "IPv$family: a chain that did not exist before is in use by other rules. It stays, but empty:" $gone
}

# entries: the entries of a set, from the output of ipset save.
entries() {
	sed -n '/^add /p' | sort
}

# refill NAME FILE: atomically restore the entries of one of Seawall's sets.
refill() {
	case $1 in
	SEAWALL-s[46]-*) ;;
	*) return 0 ;; # sets of others keep their current entries
	esac
	have=$("$IPSET" save "$1") || return 1
	have=$(printf '%s\n' "$have" | entries) || return 1
	had=$(entries <"$2") || return 1
	[ "$have" != "$had" ] || return 0
	"$IPSET" destroy SEAWALL-back 2>/dev/null
	{
		while read -r verb name rest; do
			printf '%s SEAWALL-back %s\n' "$verb" "$rest"
		done <"$2"
		printf 'swap SEAWALL-back %s\ndestroy SEAWALL-back\n' "$1"
	} | "$IPSET" restore
}

# sets: recreate missing sets, and restore the entries of Seawall's.
sets() {
	n=1
	while [ -e "set-$n" ]; do
		name=$(cat "set-$n.name") || return 1
		if "$IPSET" list -n "$name" >/dev/null 2>&1; then
			refill "$name" "set-$n" || return 1
		else
			"$IPSET" restore <"set-$n" || return 1
		fi
		n=$((n + 1))
	done
}

if [ "$action" = --test ]; then
	load "$IPTABLES" 4 --test && load "$IP6TABLES" 6 --test
	exit
fi
trap '' HUP INT TERM # once started, run to the end
sets=yes four=yes six=yes
sets || sets=no
load "$IPTABLES" 4 || four=no
load "$IP6TABLES" 6 || six=no
case $four$six in
nono) say 'the previous rules of both families do not load; the new ones stay' ;;
noyes) say 'the previous rules of IPv4 do not load, so its new ones stay; IPv6 has its previous rules' ;;
yesno) say 'the previous rules of IPv6 do not load, so its new ones stay; IPv4 has its previous rules' ;;
*)
	if [ "$sets" = no ]; then
		say 'both families have their previous rules, but a set that they use could not be restored'
	fi
	;;
esac
if [ "$sets$four$six" != yesyesyes ]; then
	exit 1
fi
if command -v "$IPSET" >/dev/null 2>&1; then
	"$IPSET" list -n 2>/dev/null | sed -n '/^SEAWALL-s[46]-[0-9a-f]*$/p' | while read -r set; do
		"$IPSET" destroy "$set" 2>/dev/null
	done
fi
exit 0
`

// rejoin are the functions for a DOCKER-USER that is shared.
const rejoin = `
` + emit.Ours + `
# others STATE: whether others have rules in DOCKER-USER.
others() {
	while IFS= read -r line; do
		case $line in
		'-A DOCKER-USER '*) ours "$line" || return 0 ;;
		*) ;;
		esac
	done <<STATE
$1
STATE
	return 1
}

# rejoin STATE: lines that take Seawall's rules out of a shared DOCKER-USER, and put the
# previous ones back. The rules of others stay. If those are as before, each of Seawall's
# goes back to where it was; otherwise all go to where Seawall's jump is now, or behind
# the last rule that was before them.
rejoin() {
	first=$(sed -n -e 1p "drop-$family") || return 1
	before=$(cat "others-$family") || return 1
	ahead=$(cat "ahead-$family") || return 1
	joined=$(cat "joined-$family") || return 1
	if ! has "$1" DOCKER-USER; then
		case " $chains " in
		*" DOCKER-USER "*) printf -- '-N DOCKER-USER\n' ;;
		*) return 0 ;;
		esac
	fi
	same='' own='' place=0 at=0 there=no
	while IFS= read -r line; do
		case $line in
		'-A DOCKER-USER '*) ;;
		*) continue ;;
		esac
		if [ "$line" = "$first" ]; then
			there=yes # they were not removed
		fi
		if ours "$line"; then
			if [ -z "$own" ]; then
				place=$at
			fi
			own="${own:+$own
}-D ${line#-A }"
			continue
		fi
		at=$((at + 1))
		same="${same:+$same
}$line"
		case "
$ahead
" in
		*"
$line
"*) place=$at ;;
		*) ;;
		esac
	done <<STATE
$1
STATE
	if [ "$there" = yes ]; then
		[ "$action" = --test ] || return 0
		sed -e 's/^-A /-D /' "drop-$family" || return 1
		same=$before
	fi
	if [ "$joined" = yes ] && [ "$own" = '-D DOCKER-USER -j SEAWALL-FORWARD' ]; then
		return 0
	fi
	if [ -n "$own" ]; then
		printf '%s\n' "$own"
	fi
	if [ "$same" = "$before" ]; then
		cat "put-$family"
		return
	fi
	while IFS= read -r line; do
		place=$((place + 1))
		printf -- '-I DOCKER-USER %s %s\n' "$place" "${line#-A DOCKER-USER }"
	done <"ours-$family"
}
`

// keep saves the kernel's current rules and sets to the folder, byte for byte.
func (b byIPTables) keep(dir string) error {
	var sets []string
	for _, f := range packet.Families {
		src, err := b.output(command(f)+"-save", "-t", "filter")
		if err != nil {
			return err
		}
		file, err := parseSaved(src, f)
		if err != nil {
			return err
		}
		t := file.Table("filter")
		sets = append(sets, asked(t, append(ownChains(t), iptables.DockerUser)...)...)
		if err := b.write(dir, f, src, ownLines(src), leadsTo(t)); err != nil {
			return err
		}
	}
	return b.keepSets(dir, sets)
}

// write writes the files of one family that every way back has.
func (b byIPTables) write(dir string, f packet.Family, src []byte, p printed, needs []string) error {
	if bytes.Contains(src, []byte("\n:DOCKER ")) {
		p.chains = append(p.chains, "DOCKER")
	}
	for name, text := range map[string]string{
		"rules": strings.Join(append(p.declared, p.rules...), "\n") + "\n", "chains": strings.Join(p.chains, " ") + "\n",
		"needs": strings.Join(needs, " ") + "\n",
		"jumps": jumpsIn(src, "FORWARD", iptables.DockerUser) + jumpsIn(src, "INPUT", iptables.SeawallInput),
	} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d", name, f)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// keepSets saves the sets that the rules match.
func (b byIPTables) keepSets(dir string, sets []string) error {
	slices.Sort(sets)
	for i, name := range slices.Compact(sets) {
		text, err := b.output(ipsetCommand(), "save", name)
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

// leadsTo are the foreign chains that Seawall's chains jump to.
func leadsTo(t *iptables.Table) []string {
	if t == nil {
		return nil
	}
	var names []string
	for _, c := range t.Chains {
		for _, r := range c.Rules() {
			if to := r.Target.Name; iptables.Owned(c.Name) && !iptables.Owned(to) && !t.Builtin(to) && t.Chain(to) != nil {
				names = append(names, to)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// asked are the sets that some chains match.
func asked(t *iptables.Table, chains ...string) []string {
	if t == nil {
		return nil
	}
	var names []string
	for _, c := range t.Chains {
		if !slices.Contains(chains, c.Name) {
			continue
		}
		for _, r := range c.Rules() {
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

// printed is the part of the output of iptables-save that Seawall may replace.
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
