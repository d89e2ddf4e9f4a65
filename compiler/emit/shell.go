package emit

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"github.com/seawall/seawall/compiler/rules"
)

// The script loads each family with one commit, in which the chains, a missing
// jump to them and the end of chains that are no longer needed change at one
// moment. Both families are tried with --test first. When IPv6 still fails
// after IPv4 was loaded, IPv4 gets its old chains back.
//
// The rules stand in here-documents with a quoted end, in which a shell reads
// nothing but text.
var script = template.Must(template.New("seawall.sh").Parse(`#!/bin/sh
# {{.Made}}
#
# Loads the rules for IPv4 and IPv6, at any time, as root. Running it again
# changes nothing. It ends with all of its rules, or with those of before.
# IPTABLES and IP6TABLES name other commands, such as iptables-legacy.{{if .Sets}} So
# does IPSET.{{end}}
set -u

IPTABLES=${IPTABLES:-iptables}
IP6TABLES=${IP6TABLES:-ip6tables}
{{if .Sets}}IPSET=${IPSET:-ipset}
{{end}}chains_v4='{{.ChainsV4}}'
chains_v6='{{.ChainsV6}}'

rules_v4() {
	cat <<'{{.EndV4}}'
{{.RulesV4}}{{.EndV4}}
}

rules_v6() {
	cat <<'{{.EndV6}}'
{{.RulesV6}}{{.EndV6}}
}

{{if .Sets}}sets() {
	cat <<'{{.EndSets}}'
{{.Sets}}{{.EndSets}}
}

# tidy: sets that no rule asks for any more go. Of one that is in use, ipset says
# no.
tidy() {
	"$IPSET" list -n | sed -n '/^SEAWALL-s[46]-/p' | while read -r set; do
		"$IPSET" destroy "$set" 2>/dev/null
	done
}

{{end}}say() {
	printf 'seawall.sh: %s\n' "$*" >&2
}

# jump STATE FROM TO: lines that make "-j TO" the first rule of FROM, and the
# only one of its kind.
jump() {
	rules=$(printf '%s\n' "$1" | grep -e "^-A $2 ")
	keep=0
	if [ "$(printf '%s\n' "$rules" | sed -n 1p)" = "-A $2 -j $3" ]; then
		keep=1
	fi
	printf '%s\n' "$rules" | grep -n -x -e "-A $2 -j $3" | sed 's/:.*//' | sort -rn | while read -r line; do
		if [ "$keep" = 0 ] || [ "$line" != 1 ]; then
			printf -- '-D %s %s\n' "$2" "$line"
		fi
	done
	if [ "$keep" = 0 ]; then
		printf -- '-I %s -j %s\n' "$2" "$3"
	fi
}

# nojump STATE FROM TO: lines that take every "-j TO" out of FROM.
nojump() {
	printf '%s\n' "$1" | grep -x -e "-A $2 -j $3" | sed 's/^-A /-D /'
}

# leftover STATE CHAINS: chains of earlier versions that the rules no longer
# have.
leftover() {
	printf '%s\n' "$1" | sed -n 's/^-N \(SEAWALL-.*\)$/\1/p' | while read -r chain; do
		case " $2 " in
		*" $chain "*) ;;
		*) printf '%s\n' "$chain" ;;
		esac
	done
}

# load COMMAND RULES CHAINS [--test]: everything of one family in one commit.
load() {
	command=$1 rules_of=$2 chains=$3
	shift 3
	# All is asked before iptables-restore starts: it may hold the lock that
	# asking needs. Without an answer nothing can be decided, and nothing is.
	state=$("$command" -w 10 -S) || return 1
	old=$(leftover "$state" "$chains")
	text=$(
		echo '*filter'
		"$rules_of"
		jump "$state" FORWARD DOCKER-USER
		{{if .ToHost}}jump "$state" INPUT SEAWALL-INPUT{{else}}nojump "$state" INPUT SEAWALL-INPUT{{end}}
		for chain in $old; do
			printf -- '-F %s\n' "$chain"
		done
		for chain in $old; do
			printf -- '-X %s\n' "$chain"
		done
		echo COMMIT
	)
	printf '%s\n' "$text" | "$command-restore" -w 10 --noflush "$@"
}

# saved COMMAND: lines that bring back the chains and jumps as they are now.
saved() {
	"$1-save" -t filter | sed -n -e '/^:DOCKER-USER /p' -e '/^:SEAWALL-/p' -e '/^-A DOCKER-USER /p' -e '/^-A SEAWALL-/p'
}

for command in "$IPTABLES" "$IP6TABLES"; do
	for name in "$command" "$command-restore" "$command-save"; do
		if ! command -v "$name" >/dev/null 2>&1; then
			say "$name is not installed; nothing was changed"
			exit 1
		fi
	done
done

{{if .Sets}}if ! command -v "$IPSET" >/dev/null 2>&1; then
	say "$IPSET is not installed; nothing was changed"
	exit 1
fi
# Sets are named after what is in them: those of the rules of now stay as they
# are until the new rules stand.
if ! sets | "$IPSET" restore; then
	say 'the sets do not fit this host; the rules were not changed'
	exit 1
fi
trap tidy EXIT

{{end}}if ! load "$IPTABLES" rules_v4 "$chains_v4" --test || ! load "$IP6TABLES" rules_v6 "$chains_v6" --test; then
	say 'the rules do not fit this host; nothing was changed'
	exit 1
fi

if ! before=$(saved "$IPTABLES"); then
	say 'the rules of now cannot be read; nothing was changed'
	exit 1
fi
if ! load "$IPTABLES" rules_v4 "$chains_v4"; then
	say 'IPv4 could not be loaded; nothing was changed'
	exit 1
fi
if ! load "$IP6TABLES" rules_v6 "$chains_v6"; then
	{
		echo '*filter'
		for chain in $chains_v4; do
			printf ':%s - [0:0]\n' "$chain"
		done
		printf '%s\n' "$before"
		echo COMMIT
	} | "$IPTABLES-restore" -w 10 --noflush
	say 'IPv6 could not be loaded; IPv4 has its rules of before'
	exit 1
fi
`))

const (
	endV4   = "SEAWALL_V4"
	endV6   = "SEAWALL_V6"
	endSets = "SEAWALL_SETS"
)

func shell(c *Chains) []byte {
	var b bytes.Buffer
	err := script.Execute(&b, map[string]any{
		"Made": strings.Join(head(c), "\n# "), "ToHost": c.ToHost, "EndV4": endV4, "EndV6": endV6,
		"RulesV4": heredoc(c.V4), "RulesV6": heredoc(c.V6),
		"Sets": string(sets(c)), "EndSets": endSets,
		"ChainsV4": chainNames(c.V4), "ChainsV6": chainNames(c.V6),
	})
	if err != nil {
		panic("emit: the script's template: " + err.Error()) // its fields are all above
	}
	return b.Bytes()
}

func heredoc(t *rules.Table) string {
	var b bytes.Buffer
	declare(&b, t)
	rules.PrintLines(&b, t.Lines)
	return b.String()
}

func chainNames(t *rules.Table) string {
	var names []string
	for _, c := range t.Chains {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// Rules gives the rules of one family that a file carries, in a form that the
// rule reader reads. Of a script that is what its here-document holds.
func Rules(f File, family rules.Family) ([]byte, error) {
	if !f.Executable {
		return f.Bytes, nil
	}
	end := endV4
	if family == rules.IPv6 {
		end = endV6
	}
	_, rest, ok := bytes.Cut(f.Bytes, []byte("<<'"+end+"'\n"))
	body, _, closed := bytes.Cut(rest, []byte("\n"+end+"\n"))
	if !ok || !closed {
		return nil, fmt.Errorf("the script has no rules for IPv%d", family)
	}
	return []byte("*filter\n" + string(body) + "\nCOMMIT\n"), nil
}
