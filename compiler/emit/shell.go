package emit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// The script loads each family with one commit, in which the chains, a missing
// jump to them and the end of chains that are no longer needed change at one
// moment. Both families are tried with --test first. When IPv6 still fails
// after IPv4 was loaded, IPv4 gets its old chains back.
//
// Loads fail before the kernel has the rules or, rarely, after it: so nothing is
// said of a family that was not looked at.
//
// The rules stand in here-documents with a quoted end, in which a shell reads
// nothing but text.
var script = template.Must(template.New("seawall.sh").Parse(`#!/bin/sh
# {{.Made}}
#
# Loads the rules for IPv4 and IPv6, at any time, as root. Running it again
# changes nothing. It ends with all of its rules, or with the previous ones.
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

# tidy: destroys the sets that no rule matches any more. ipset refuses to destroy
# one that is in use.
tidy() {
	"$IPSET" list -n | sed -n '/^SEAWALL-s[46]-[0-9a-f]*$/p' | while read -r set; do
		"$IPSET" destroy "$set" 2>/dev/null
	done
}

{{end}}say() {
	printf 'seawall.sh: %s\n' "$*" >&2
}

# state COMMAND: the current chains and jumps that a load depends on, as -S prints
# them.
state() {
	all=$("$1" -w 10 -S) || return 1
	printf '%s\n' "$all" | sed -n -e '/^-N SEAWALL-/p' -e '/^-A FORWARD /p' -e '/^-A INPUT /p'{{if .Shared}} \
		-e '/^-N DOCKER-USER$/p' -e '/^-A DOCKER-USER /p'{{end}}
}

# jump STATE FROM TO: lines that make "-j TO" the first rule of FROM, and the
# only one of its kind. They use no rule numbers, because other rules may be added
# in the meantime.
jump() {
	at=0 there=0 first=no
	while read -r line; do
		case $line in
		"-A $2 -j $3")
			at=$((at + 1)) there=$((there + 1))
			if [ "$at" = 1 ]; then
				first=yes
			fi
			;;
		"-A $2 "*) at=$((at + 1)) ;;
		*) ;;
		esac
	done <<STATE
$1
STATE
	if [ "$there" != 1 ] || [ "$first" = no ]; then
		while [ "$there" -gt 0 ]; do
			printf -- '-D %s -j %s\n' "$2" "$3"
			there=$((there - 1))
		done
		printf -- '-I %s -j %s\n' "$2" "$3"
	fi
}

{{if .Shared}}{{.Ours}}
# join STATE: lines that make DOCKER-USER jump to SEAWALL-FORWARD, and that remove
# what else leads from there to Seawall's chains. A jump stays where it is, behind
# the bans of others, unless a rule before it lets no packet through to it.
join() {
	ends=no there=0
	while read -r line; do
		case $line in
		'-A DOCKER-USER -j SEAWALL-FORWARD') there=$((there + 1)) ;;
		'-A DOCKER-USER -j RETURN' | '-A DOCKER-USER -j ACCEPT')
			if [ "$there" = 0 ]; then
				ends=yes
			fi
			;;
		'-A DOCKER-USER '*)
			if ours "$line"; then
				printf -- '-D %s\n' "${line#-A }"
			fi
			;;
		*) ;;
		esac
	done <<STATE
$1
STATE
	if [ "$there" != 1 ] || [ "$ends" = yes ]; then
		while [ "$there" -gt 0 ]; do
			printf -- '-D DOCKER-USER -j SEAWALL-FORWARD\n'
			there=$((there - 1))
		done
		printf -- '-I DOCKER-USER -j SEAWALL-FORWARD\n'
	fi
}

{{end}}# nojump STATE FROM TO: lines that remove every "-j TO" from FROM.
nojump() {
	while read -r line; do
		if [ "$line" = "-A $2 -j $3" ]; then
			printf -- '-D %s -j %s\n' "$2" "$3"
		fi
	done <<STATE
$1
STATE
}

# leftover STATE CHAINS: chains of earlier versions that the rules no longer
# have.
leftover() {
	while read -r verb chain; do
		if [ "$verb" = -N ]{{if .Shared}} && [ "$chain" != DOCKER-USER ]{{end}}; then
			case " $2 " in
			*" $chain "*) ;;
			*) printf '%s\n' "$chain" ;;
			esac
		fi
	done <<STATE
$1
STATE
}

# load COMMAND RULES CHAINS [--test]: loads everything of one family in one commit.
load() {
	command=$1 rules_of=$2 chains=$3
	shift 3
	# Everything is read before iptables-restore starts, because it may hold the
	# lock that reading needs. If reading fails, nothing is changed.
	now=$(state "$command") || return 1
	rules=$("$rules_of") || return 1
	old=$(leftover "$now" "$chains")
{{if .Guarded}}	drop=$(sed -e 's/^-A /-D /' "drop-${rules_of#rules_v}") || return 1
{{end}}	text=$(
		echo '*filter'
{{if .Shared}}		case "
$now" in
		*"
-N DOCKER-USER"*) ;;
		*) echo ':DOCKER-USER - [0:0]' ;; # Docker keeps the chain that it finds
		esac
{{end}}		printf '%s\n' "$rules"
		jump "$now" FORWARD DOCKER-USER{{if .Shared}}
		join "$now"{{end}}{{if .Guarded}}
		if [ -n "$drop" ]; then
			printf '%s\n' "$drop"
		fi{{end}}
		{{if .ToHost}}jump "$now" INPUT SEAWALL-INPUT{{else}}nojump "$now" INPUT SEAWALL-INPUT{{end}}
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

{{if not .Guarded}}# kept COMMAND: everything that a load may change, as iptables-save prints it, and
# the other rules of the chains that hold the jumps.
kept() {
	all=$("$1-save" -t filter) || return 1
	printf '%s\n' "$all" | sed -n -e '/^:DOCKER-USER /p' -e '/^:SEAWALL-/p' -e '/^-A DOCKER-USER /p' -e '/^-A SEAWALL-/p' \
		-e '/^-A FORWARD /p' -e '/^-A INPUT /p'
}

# heads KEPT: the part with the chain names and the jumps.
heads() {
	printf '%s\n' "$1" | sed -n -e '/^:/p' -e '/^-A FORWARD /p' -e '/^-A INPUT /p'{{if .Shared}} -e '/^-A DOCKER-USER /p'{{end}}
}

# same KEPT KEPT: whether both are the same; the order of chains does not matter.
same() {
	one=$(printf '%s\n' "$1" | sort) || return 1
	other=$(printf '%s\n' "$2" | sort) || return 1
	[ "$one" = "$other" ]
}

# moved FROM TO: reports a jump that cannot be put back where it was.
moved() {
	say "other rules in $1 changed meanwhile; the jump to $2 now comes first"
}

{{.Jumps}}
# places HEADS FROM TO: for jumps: how many other rules FROM has, and the position of
# "-j TO".
places() {
	others=0 at=0 list=
	while read -r line; do
		case $line in
		"-A $2 -j $3") at=$((at + 1)) list="$list $at" ;;
		"-A $2 "*) at=$((at + 1)) others=$((others + 1)) ;;
		*) ;;
		esac
	done <<HEADS
$1
HEADS
	printf '%s%s\n' "$others" "$list"
}

# fresh HEADS HEADS: the chains of the second that the first does not have.
fresh() {
	while read -r name rest; do
		case $name in
		:*)
			case "
$1" in
			*"
$name "*) ;;
			*) printf '%s\n' "${name#:}" ;;
			esac
			;;
		*) ;;
		esac
	done <<HEADS
$2
HEADS
}

{{if .Shared}}# replaced KEPT: whether a load takes rules out of DOCKER-USER, which an earlier
# policy put there.
replaced() {
	others=$(printf '%s\n' "$1" | sed -n -e '/^-A DOCKER-USER -j SEAWALL-FORWARD$/d' -e '/^-A DOCKER-USER .*-[jg] SEAWALL-/p')
	[ -n "$others" ]
}

{{end}}# back COMMAND KEPT: restores KEPT if anything has changed.
back() {
	now=$(kept "$1") || now=$(kept "$1") || return 1
	if same "$2" "$now"; then
		return 0
	fi
	heads=$(heads "$now") || heads=$(heads "$now") || return 1
	were=$(heads "$2") || were=$(heads "$2") || return 1
	rules=$(printf '%s\n' "$2" | sed -e '/^-A FORWARD /d' -e '/^-A INPUT /d') ||
		rules=$(printf '%s\n' "$2" | sed -e '/^-A FORWARD /d' -e '/^-A INPUT /d') || return 1
	gone=$(fresh "$were" "$heads")
{{if .Shared}}	moves=no
	if ! replaced "$2"; then
		# What others have put into DOCKER-USER meanwhile stays.
		rules=$(printf '%s\n' "$rules" | sed -e '/^:DOCKER-USER /d' -e '/^-A DOCKER-USER /d') ||
			rules=$(printf '%s\n' "$rules" | sed -e '/^:DOCKER-USER /d' -e '/^-A DOCKER-USER /d') || return 1
		moves=yes
	fi
{{end}}	text=$(
		echo '*filter'
		if [ -n "$rules" ]; then
			printf '%s\n' "$rules"
		fi
{{if .Shared}}		if [ "$moves" = yes ]; then
			jumps "$heads" DOCKER-USER SEAWALL-FORWARD "$(places "$were" DOCKER-USER SEAWALL-FORWARD)"
		fi
{{end}}		jumps "$heads" FORWARD DOCKER-USER "$(places "$were" FORWARD DOCKER-USER)"
		jumps "$heads" INPUT SEAWALL-INPUT "$(places "$were" INPUT SEAWALL-INPUT)"
		for chain in $gone; do
			printf -- '-F %s\n' "$chain"
		done
		for chain in $gone; do
			printf -- '-X %s\n' "$chain"
		done
		echo COMMIT
	)
	try=1
	while [ "$try" -le 2 ]; do
		if printf '%s\n' "$text" | "$1-restore" -w 10 --noflush; then
			return 0
		fi
		now=$(kept "$1") || now=$(kept "$1") || return 1
		if same "$2" "$now" || same "$2" "$now"; then
			return 0
		fi
		try=$((try + 1))
	done
	return 1
}

{{end}}for command in "$IPTABLES" "$IP6TABLES"; do
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
# Sets are named after their content: those of the current rules stay as they are
# until the new rules are loaded.
if ! new_sets=$(sets) || ! printf '%s\n' "$new_sets" | "$IPSET" restore; then
	say 'this host refuses the sets; the rules were not changed'
	exit 1
fi
trap tidy EXIT

{{end}}if ! load "$IPTABLES" rules_v4 "$chains_v4" --test || ! load "$IP6TABLES" rules_v6 "$chains_v6" --test; then
	say 'this host refuses the rules; nothing was changed'
	exit 1
fi

{{if .Guarded}}trap '' HUP INT TERM # what has begun is finished
if ! load "$IPTABLES" rules_v4 "$chains_v4"; then
	say 'IPv4 could not be loaded'
	exit 1
fi
if ! load "$IP6TABLES" rules_v6 "$chains_v6"; then
	say 'IPv6 could not be loaded'
	exit 1
fi
{{else}}if ! before_v4=$(kept "$IPTABLES") || ! before_v6=$(kept "$IP6TABLES"); then
	say 'the current rules cannot be read; nothing was changed'
	exit 1
fi
trap '' HUP INT TERM # what has begun is finished
if ! load "$IPTABLES" rules_v4 "$chains_v4"; then
	# Some failures occur after the kernel has taken the rules.
	if back "$IPTABLES" "$before_v4"; then
		say 'IPv4 could not be loaded; both families have their previous rules'
	else
		say 'IPv4 could not be loaded, nor rolled back: it may have the new rules; IPv6 has its previous rules'
	fi
	exit 1
fi
if ! load "$IP6TABLES" rules_v6 "$chains_v6"; then
	if ! back "$IP6TABLES" "$before_v6"; then
		say 'IPv6 could not be loaded, nor rolled back: it may have the new rules; IPv4 has the new rules'
	elif back "$IPTABLES" "$before_v4"; then
		say 'IPv6 could not be loaded; both families have their previous rules'
	else
		say 'IPv6 could not be loaded and has its previous rules; IPv4 could not be rolled back and has the new ones'
	fi
	exit 1
fi
{{end}}`))

// Ours is a function of shell scripts for a DOCKER-USER that is shared.
const Ours = `# ours LINE: whether a rule leads to one of Seawall's chains.
ours() {
	case $1 in
	*' -j SEAWALL-'* | *' -g SEAWALL-'*) ;;
	*) return 1 ;;
	esac
	case ${1##* -[jg] SEAWALL-} in
	*' '* | *'"') return 1 ;; # words of a comment
	*) return 0 ;;
	esac
}
`

// Jumps is a function of shell scripts: the lines that take jumps out of a chain
// and put them where they stood.
const Jumps = `# jumps STATE FROM TO "OTHERS PLACE...": lines that remove every "-j TO" from FROM
# and put it back where it was, or first if other rules of FROM have changed.
jumps() {
	from=$2 to=$3 before=${4%% *} others=0 there=0
	places=${4#"$before"}
	while read -r line; do
		case $line in
		"-A $from -j $to") there=$((there + 1)) ;;
		"-A $from "*) others=$((others + 1)) ;;
		*) ;;
		esac
	done <<STATE
$1
STATE
	while [ "$there" -gt 0 ]; do
		printf -- '-D %s -j %s\n' "$from" "$to"
		there=$((there - 1))
	done
	if [ "$others" = "$before" ]; then
		for at in $places; do
			printf -- '-I %s %s -j %s\n' "$from" "$at" "$to"
		done
	elif [ -n "$places" ]; then
		moved "$from" "$to"
		printf -- '-I %s -j %s\n' "$from" "$to"
	fi
}
`

const (
	endV4   = "SEAWALL_V4"
	endV6   = "SEAWALL_V6"
	endSets = "SEAWALL_SETS"
)

// Shell is a script that loads both families.
var Shell = register(Format{
	Name: "shell", Order: 3, WithSets: true,
	Summary: "seawall.sh, a script that loads both families at any time",
	Files: func(c *Chains) []File {
		return []File{{Name: "seawall.sh", Bytes: shell(c), Executable: true, Families: packet.Families}}
	},
})

// parts are what the script's template is filled with.
type parts struct {
	Made                   string
	ToHost, Shared         bool
	Guarded                bool
	EndV4, EndV6, EndSets  string
	Jumps, Ours            string
	RulesV4, RulesV6, Sets string
	ChainsV4, ChainsV6     string
}

func shell(c *Chains) []byte {
	return parts{
		Made: strings.Join(head(c), "\n# "), ToHost: c.ToHost, Shared: c.Shared,
		RulesV4: heredoc(c.V4), RulesV6: heredoc(c.V6), Sets: string(sets(c)),
		ChainsV4: strings.Join(c.V4.Names(), " "), ChainsV6: strings.Join(c.V6.Names(), " "),
	}.script()
}

func (p parts) script() []byte {
	p.EndV4, p.EndV6, p.EndSets, p.Jumps, p.Ours = endV4, endV6, endSets, Jumps, Ours
	var b bytes.Buffer
	if err := script.Execute(&b, p); err != nil {
		panic("emit: the script's template: " + err.Error()) // its fields are all above
	}
	return b.Bytes()
}

// Guarded returns the script for a shared DOCKER-USER as apply runs it: what apply has
// for the way back stands in for the script's own. In the commit that loads the rules of
// a family it also takes those in the file drop-4 or drop-6 out of DOCKER-USER.
func Guarded(src []byte) ([]byte, error) {
	p, ok := partsOf(string(src))
	if !ok || !p.Shared {
		return nil, errors.New("the script is not one for a shared DOCKER-USER")
	}
	p.Guarded = true
	return p.script(), nil
}

func heredoc(t *iptables.Table) string {
	var b bytes.Buffer
	iptables.PrintDeclarations(&b, t)
	iptables.PrintRules(&b, t)
	return b.String()
}

// Script is what a script of this format carries.
type Script struct {
	V4, V6 []byte // for iptables-restore --noflush
	// Before4 and Before6 are how many lines of the script stand before those of V4
	// and V6.
	Before4, Before6 int
	Sets             []byte // for ipset restore; nil for none
}

// Rules are the rules of one family.
func (s *Script) Rules(f packet.Family) []byte {
	if f == packet.IPv6 {
		return s.V6
	}
	return s.V4
}

// ReadScript reads a script that compile has written. What a script does is in
// its commands, not in its here-documents: so it is read only when it is, byte
// for byte, what compile writes around the rules that it carries. Every other
// script is an error.
func ReadScript(src []byte) (*Script, error) {
	p, ok := partsOf(string(src))
	if !ok || !bytes.Equal(p.script(), src) {
		return nil, fmt.Errorf("only a seawall.sh as compile writes it can be judged; this script is another one, or was changed, and may do anything")
	}
	s := &Script{V4: section(p.RulesV4), V6: section(p.RulesV6), Before4: linesBefore(src, endV4), Before6: linesBefore(src, endV6)}
	if p.Sets != "" {
		s.Sets = []byte(p.Sets)
	}
	return s, nil
}

// linesBefore counts the lines before the one that opens a here-document, which is
// "*filter" in the section.
func linesBefore(src []byte, end string) int {
	text, _, _ := bytes.Cut(src, []byte("<<'"+end+"'\n"))
	return bytes.Count(text, []byte("\n"))
}

// Before is how many lines of the script stand before the rules of one family.
func (s *Script) Before(f packet.Family) int {
	if f == packet.IPv6 {
		return s.Before6
	}
	return s.Before4
}

func section(rules string) []byte { return []byte("*filter\n" + rules + "COMMIT\n") }

// partsOf takes a script apart; false when it is not made of such parts.
func partsOf(text string) (p parts, ok bool) {
	between := func(before, after string) string {
		_, rest, found := strings.Cut(text, before)
		inner, _, ended := strings.Cut(rest, after)
		ok = ok && found && ended
		return inner
	}
	ok = true
	p.Made = between("#!/bin/sh\n# ", "\n#\n# Loads the rules")
	p.ChainsV4, p.ChainsV6 = between("chains_v4='", "'\n"), between("chains_v6='", "'\n")
	p.RulesV4 = between("<<'"+endV4+"'\n", endV4+"\n")
	p.RulesV6 = between("<<'"+endV6+"'\n", endV6+"\n")
	if strings.Contains(text, "<<'"+endSets+"'\n") {
		p.Sets = between("<<'"+endSets+"'\n", endSets+"\n")
	}
	p.ToHost = !strings.Contains(text, "\t\tnojump ")
	p.Shared = strings.Contains(text, "\njoin() {\n")
	for _, line := range strings.Split(p.Made, "\n")[1:] {
		ok = ok && strings.HasPrefix(line, "# ")
	}
	for _, x := range [][2]string{{p.RulesV4, p.ChainsV4}, {p.RulesV6, p.ChainsV6}} {
		ok = ok && oneSection(x[0]) && sameChains(x[0], x[1])
	}
	return p, ok
}

// oneSection reports whether rules are a part of one section of a table.
func oneSection(rules string) bool {
	for _, line := range strings.Split(rules, "\n") {
		if strings.HasPrefix(line, "*") || strings.HasPrefix(line, "COMMIT") {
			return false
		}
	}
	return rules == "" || strings.HasSuffix(rules, "\n")
}

// sameChains reports whether the list of chains of a script is the list of those
// that its rules declare.
func sameChains(rules, list string) bool {
	var names []string
	for _, line := range strings.Split(rules, "\n") {
		if name, ok := strings.CutPrefix(line, ":"); ok {
			names = append(names, strings.SplitN(name, " ", 2)[0])
		}
	}
	given := strings.Fields(list)
	slices.Sort(names)
	slices.Sort(given)
	return slices.Equal(names, given) && !strings.ContainsAny(list, "'\\$`")
}

// Rules returns the rules of one family that a file carries, in a form that the
// rule reader reads.
func Rules(f File, family packet.Family) ([]byte, error) {
	if !f.Executable {
		return f.Bytes, nil
	}
	s, err := ReadScript(f.Bytes)
	if err != nil {
		return nil, err
	}
	return s.Rules(family), nil
}
