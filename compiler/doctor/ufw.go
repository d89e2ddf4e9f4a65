package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/system"
)

// ufw finds what ufw's files will do to the policy at its next start, which the rules in
// the kernel do not show.
func (d *doctor) ufw(u *system.UFWFiles) {
	const again = "write them again: seawall compile POLICY --for ufw --base /etc/ufw --out-dir /etc/ufw; then ufw reload"
	if u.Disabled {
		d.add(Finding{Code: "SD019", Summary: "ufw has Seawall's rules, and is disabled",
			Detail:  "ufw disable and ufw reset leave Seawall's part of its files, and the rules in the kernel. At the next boot nothing loads them.",
			Traffic: []string{"every port that the policy denies, after the next boot: let in"}, Advice: "ufw enable; or let something else load them, and delete the blocks: seawall compile POLICY --for nftables"})
	}
	for _, t := range d.host.Families {
		if u.Holds(t.Family) && !u.Disabled && !hasRules(t.Filter) {
			d.add(Finding{Code: "SD019", Summary: "ufw has not loaded Seawall's rules", Place: place(t.Family, iptables.DockerUser, 0),
				Detail:  "ufw loads a file of rules as a whole or not at all. A rule with an ipset that is missing, or that holds addresses of the other family, keeps it from loading any.",
				Traffic: []string{"every port that the policy denies: let in"}, Advice: "run ufw reload, and read what it says"})
		}
	}
	if moved := u.Moved(); len(moved) > 0 {
		d.add(Finding{Code: "SD019", Summary: "ufw no longer loads Seawall's rules: " + strings.Join(moved, " and ") + " lost the block",
			Detail:  "ufw reset moves its files of rules aside and writes fresh ones. before.init and the rules in the kernel stay, so nothing changes until the next boot.",
			Traffic: []string{"every port that the policy denies, after the next boot: let in"}, Advice: again})
	}
	if u.Uncalled() {
		hook := system.UFW.Path(system.UFW.Format.Hook)
		d.add(Finding{Code: "SD019", Summary: fmt.Sprintf("ufw loads Seawall's rules, but %s does not make the jumps to them", hook),
			Detail:  "ufw runs that file only where it is executable, and it needs Seawall's block: without the jump in INPUT, clients reach docker-proxy past the policy.",
			Traffic: []string{"clients that come in through docker-proxy, after the next boot: let in wherever ufw allows the port"}, Advice: again})
	}
	if emit.HasBlock(u.Rules[1]) && !system.LoadsIPv6(u.Defaults) {
		d.add(Finding{Code: "SD019", Summary: "ufw loads nothing for IPv6",
			Detail:  system.NoIPv6 + ".",
			Traffic: []string{"IPv6 clients of containers with IPv6 addresses, after the next boot: let in, whatever the policy denies"}, Advice: "set IPV6=yes in /" + system.UFWDefaults + ", then ufw disable and ufw enable, and " + restart})
	}
	if system.FlushesBuiltins(u.Defaults) && d.runsDocker() {
		d.add(Finding{Code: "SD019", Summary: "ufw flushes the built-in chains at each reload",
			Detail:  "/etc/default/ufw has MANAGE_BUILTINS=yes. Each start, stop and reload of ufw then flushes every chain of the filter and nat tables, Docker's included.",
			Traffic: []string{"after a reload, until Docker restarts: no port is published except through docker-proxy, and networks are not isolated"}, Advice: "set MANAGE_BUILTINS=no in /etc/default/ufw, then " + restart})
	}
}

// hasRules reports whether DOCKER-USER has more than the RETURN that Docker puts there.
func hasRules(t *iptables.Table) bool {
	c := t.Chain(iptables.DockerUser)
	return c != nil && slices.ContainsFunc(c.Rules(), func(r *iptables.Rule) bool { return r.Target.Name != "RETURN" })
}
