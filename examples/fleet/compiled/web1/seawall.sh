#!/bin/sh
# Made by seawall from policy.hcl, services.hcl. Change that and compile again, not this file.
# Layout: flat, for no packet meets more than 48 rules.
#
# Loads the rules for IPv4 and IPv6, at any time, as root. Running it again
# changes nothing. It ends with all of its rules, or with the previous ones.
# IPTABLES and IP6TABLES name other commands, such as iptables-legacy.
set -u

IPTABLES=${IPTABLES:-iptables}
IP6TABLES=${IP6TABLES:-ip6tables}
chains_v4='DOCKER-USER SEAWALL-INPUT'
chains_v6='DOCKER-USER SEAWALL-INPUT'

rules_v4() {
	cat <<'SEAWALL_V4'
:DOCKER-USER - [0:0]
:SEAWALL-INPUT - [0:0]
# ICMP errors about known connections pass: path MTU discovery needs them
-A DOCKER-USER -i eth0 -p icmp -m conntrack --ctstate RELATED -j RETURN
# policy service["site"] (services.hcl:5)
-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j DROP
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 443 --ctdir ORIGINAL -j DROP
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 443 --ctdir ORIGINAL -j RETURN
# policy node-exporter (services.hcl:17)
-A DOCKER-USER -s 192.0.2.10/31 -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j DROP
# answers pass; then unlisted = "deny" (policy.hcl:26)
-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN
-A DOCKER-USER -i eth0 -j DROP
# policy service["site"] (services.hcl:5)
-A SEAWALL-INPUT -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j DROP
-A SEAWALL-INPUT -s 203.0.113.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 443 --ctdir ORIGINAL -j DROP
# policy node-exporter (services.hcl:17)
-A SEAWALL-INPUT ! -s 192.0.2.10/31 -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j DROP
SEAWALL_V4
}

rules_v6() {
	cat <<'SEAWALL_V6'
:DOCKER-USER - [0:0]
:SEAWALL-INPUT - [0:0]
# ICMP errors about known connections pass: path MTU discovery needs them
-A DOCKER-USER -i eth0 -p ipv6-icmp -m conntrack --ctstate RELATED -j RETURN
# policy service["site"] (services.hcl:5)
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 80 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 443 --ctdir ORIGINAL -j RETURN
# policy node-exporter (services.hcl:17)
-A DOCKER-USER -s 2001:db8:10::/64 -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j DROP
# answers pass; then unlisted = "deny" (policy.hcl:26)
-A DOCKER-USER -i eth0 -m conntrack --ctdir REPLY -j RETURN
-A DOCKER-USER -i eth0 -j DROP
# policy service["site"] (services.hcl:5)
# policy node-exporter (services.hcl:17)
-A SEAWALL-INPUT ! -s 2001:db8:10::/64 -i eth0 -p tcp -m conntrack --ctorigdstport 9100 --ctdir ORIGINAL -j DROP
SEAWALL_V6
}

say() {
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
		jump "$state" INPUT SEAWALL-INPUT
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

if ! load "$IPTABLES" rules_v4 "$chains_v4" --test || ! load "$IP6TABLES" rules_v6 "$chains_v6" --test; then
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
	say 'IPv6 could not be loaded; IPv4 has its previous rules'
	exit 1
fi
