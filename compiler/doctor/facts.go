package doctor

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
)

// Facts is what a live host says beside its rules. The zero Facts says nothing,
// as of a saved host.
type Facts struct {
	Live         bool
	DaemonJSON   []byte          // /etc/docker/daemon.json, nil when there is none
	Forwarding   map[int]bool    // net.ipv4.ip_forward and net.ipv6.conf.all.forwarding, by family
	OtherBackend string          // a back end that has rules beside the one that is used: "legacy" or "nf_tables"
	Active       map[string]bool // services that run: firewalld, ufw
	Daemon       bool            // Docker's daemon answers
}

func (d *doctor) facts() {
	f := d.host.Facts
	if !f.Live {
		return
	}
	rules := d.daemon(f.DaemonJSON)
	if f.Daemon && rules && !d.runsDocker() {
		d.noChains()
	}
	if on, known := f.Forwarding[4]; known && !on && d.runsDocker() {
		d.add(Finding{Code: "SD014", Summary: "the host does not forward IPv4 packets", Detail: "Published ports need net.ipv4.ip_forward; Docker sets it when it starts, and something has set it back.",
			Traffic: []string{"no client reaches a container over DNAT"}, Fix: []string{"sysctl -w net.ipv4.ip_forward=1"}})
	}
	if f.OtherBackend != "" {
		d.add(Finding{Code: "SD012", Summary: fmt.Sprintf("rules of iptables' %s back end are there as well", f.OtherBackend),
			Detail:  "A packet has to pass the rules of both back ends, and each command shows those of one. Docker writes to the one that its iptables is.",
			Traffic: []string{"whatever the rules of that back end drop"},
			Advice:  fmt.Sprintf("look at them with iptables-%s-save, and move or flush them", map[string]string{"legacy": "legacy", "nf_tables": "nft"}[f.OtherBackend])})
	}
	if f.Active["firewalld"] && d.hasRules() {
		d.add(Finding{Code: "SD016", Summary: "firewalld is active, and rules in DOCKER-USER do not hold beside it",
			Detail:  "When firewalld reloads, Docker makes its chains again, with its own rules before the jump to DOCKER-USER; with older engines the jump stands last from then on. A zone or a rich rule cannot say what these rules say: firewalld lets in what was rewritten by DNAT before it asks its zones.",
			Traffic: []string{"new connections to published ports after a reload: whatever DOCKER-USER denies gets in, for half a second or for good"},
			Advice:  "after each reload load the rules again and look here; seawall watch does both"})
	}
}

// hasRules reports whether DOCKER-USER has rules beside the RETURN of older engines.
func (d *doctor) hasRules() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool {
		c := t.Filter.Chain(iptables.DockerUser)
		return c != nil && slices.ContainsFunc(c.Rules, func(r *iptables.Rule) bool { return r.Spec() != "-j RETURN" })
	})
}

// firewalls notes which other firewalls are active.
func (f *Facts) firewalls() []string {
	var list []string
	if f.Active["ufw"] {
		list = append(list, "ufw is active. Its rules do not filter published ports, which DOCKER-USER decides about before it; \"ufw reload\" leaves that chain alone.")
	}
	if f.Active["firewalld"] {
		list = append(list, "firewalld is active. Its zones do not filter published ports, and rules in DOCKER-USER will not hold when it reloads.")
	}
	return list
}

// runsDocker reports whether some family has chains of Docker.
func (d *doctor) runsDocker() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return docker.Look(t).Engine != docker.NoEngine })
}

// nftables reports whether the daemon says that it uses its nftables back end.
func (d *doctor) nftables() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return t.Known != nil && t.Known.Nftables })
}

// noChains is a host whose daemon runs, and that has none of its chains.
func (d *doctor) noChains() {
	d.add(Finding{Code: "SD001", Summary: "Docker runs, and none of its chains is there", Detail: "Its daemon answers, and neither the filter nor the nat table has a chain of it. Something has replaced the tables while Docker ran: a plain iptables-restore, a restart of iptables.service, a firewall's reload. That has to be found, or it comes back.",
		Traffic: []string{"published ports are served by docker-proxy alone, past DOCKER-USER; networks are not kept apart, and containers do not reach the outside"}, Fix: []string{restart}})
}

// backend is Docker's nftables back end: no rule of iptables acts on what Docker does, but
// for a policy of DROP that an older engine left.
func (d *doctor) backend() {
	d.add(Finding{Code: "SD013", Summary: "Docker uses its own nftables back end", Detail: "There is no DOCKER-USER then; Seawall does not cover it.",
		Traffic: []string{"every published port: no rule of DOCKER-USER acts"}, Advice: "take \"firewall-backend\" out of /etc/docker/daemon.json, then " + restart})
	for _, t := range d.host.Families {
		if c := t.Filter.Chain("FORWARD"); c != nil && c.Policy == "DROP" {
			d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("FORWARD's policy in iptables is still DROP for IPv%d", t.Family), Place: place(t.Family, "FORWARD", 0),
				Detail:  "An engine that used iptables set it. A packet has to pass iptables and nftables, so nothing gets to a container.",
				Traffic: []string{"connections to published ports, and those of containers: denied"}, Advice: command(t.Family) + " -P FORWARD ACCEPT, if this host is to route for others as well; else accept what is for containers in FORWARD"})
		}
	}
}

// daemon looks at what daemon.json says of the rules, and at the back end. It reports
// whether Docker should have rules of iptables.
func (d *doctor) daemon(src []byte) (rules bool) {
	if len(src) == 0 {
		if d.nftables() {
			d.backend()
			return false
		}
		return true
	}
	var c struct {
		IPTables  *bool  `json:"iptables"`
		IP6Tables *bool  `json:"ip6tables"`
		Backend   string `json:"firewall-backend"`
	}
	if err := json.Unmarshal(src, &c); err != nil {
		d.add(Finding{Code: "SD011", Summary: "daemon.json cannot be read", Detail: err.Error() + ".", Advice: "dockerd --validate names the place"})
		return false
	}
	rules = true
	for i, value := range []*bool{c.IPTables, c.IP6Tables} {
		name := []string{"iptables", "ip6tables"}[i]
		if value != nil && !*value {
			rules = rules && i > 0
			d.add(Finding{Code: "SD011", Summary: fmt.Sprintf("daemon.json says %q: false", name), Detail: "Docker then makes no rules: publishing and isolation stop working unless somebody writes them all.",
				Traffic: []string{"docker-proxy alone serves published ports, over INPUT"}, Advice: "take the line out of /etc/docker/daemon.json, then " + restart})
		}
	}
	if c.Backend == "nftables" || d.nftables() {
		d.backend()
		rules = false
	}
	return rules
}
