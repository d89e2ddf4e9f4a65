package doctor

import (
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/system"
)

// persistent finds what netfilter-persistent's files will do at its next start or reload.
func (d *doctor) persistent(p *system.PersistentFiles) {
	for _, t := range d.host.Families {
		if p.Holds(t.Family) && !hasRules(t.Filter) {
			d.add(Finding{Code: "SD020", Summary: "netfilter-persistent has not loaded Seawall's rules", Place: place(t.Family, iptables.DockerUser, 0),
				Detail:  "It loads a file as a whole or not at all: an ipset that is missing keeps it from loading any rule. ipset-persistent loads /etc/iptables/ipsets first.",
				Traffic: []string{"every port that the policy denies: let in"}, Advice: "run netfilter-persistent reload, and read what it says"})
		}
	}
	if list := p.Flushes(); len(list) > 0 {
		d.add(Finding{Code: "SD020", Summary: "netfilter-persistent loads " + strings.Join(list, " and ") + " with a flush",
			Detail:  "The files are made for a load without one (IPTABLES_RESTORE_NOFLUSH=yes and IP6TABLES_RESTORE_NOFLUSH=yes in /etc/default/netfilter-persistent): the jump to DOCKER-USER is left to Docker, which makes it only when it starts.",
			Traffic: []string{"from the next netfilter-persistent reload until Docker restarts, everybody is let in where FORWARD's policy is ACCEPT, and nobody where it is DROP"},
			Advice:  "run the commands that seawall compile --for debian prints"})
	}
	if list := p.Saved(); len(list) > 0 {
		d.add(Finding{Code: "SD020", Summary: "Docker's own rules were saved into " + strings.Join(list, " and "),
			Detail:  "netfilter-persistent save writes all rules of the kernel. At the next boot those of containers that are gone come back, and Docker adds its own once more.",
			Traffic: []string{"ports of containers that no longer run, after the next boot: forwarded to whoever has their addresses then"},
			Advice:  "delete Docker's chains and rules from these files, and set IPTABLES_SKIP_SAVE=yes and IP6TABLES_SKIP_SAVE=yes in /etc/default/netfilter-persistent"})
	}
}
