package doctor

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/system"
)

// Facts holds what is known about a live host apart from its rules. The zero Facts, used for a
// saved host, knows nothing.
type Facts struct {
	Live         bool
	DaemonJSON   []byte                  // /etc/docker/daemon.json, nil if it does not exist
	Forwarding   map[int]bool            // net.ipv4.ip_forward and net.ipv6.conf.all.forwarding, by family
	OtherBackend string                  // a backend other than the one in use that also has rules: "legacy" or "nf_tables"
	Active       map[string]bool         // running services: firewalld, ufw
	Daemon       bool                    // the Docker daemon answers
	NoIPTables   bool                    // the host does not have the command iptables
	Unit         *Unit                   // Seawall's unit of systemd, nil if there is none
	Applied      bool                    // apply has loaded a table since the last boot, and kept it
	Unseen       []string                // what of the host's rules could not be read, and what to do about it
	System       *system.System          // what loads rules at boot; nil if unknown
	UFW          *system.UFWFiles        // nil unless ufw is enabled
	Persistent   *system.PersistentFiles // nil unless netfilter-persistent loads rules at boot
}

// Unit is Seawall's unit of systemd, which loads a table of nft.
type Unit struct {
	Path string         // of the file that it loads
	File *nftables.File // that file; nil if it cannot be read
	Why  string         // why it cannot
}

// system says which system the host is, if that is known.
func (f *Facts) system() []string {
	if f.System == nil {
		return nil
	}
	but := ""
	if f.System.Format.Reloads {
		but = fmt.Sprintf(" With docker_user = \"shared\": --for %s.", system.NFTables.Name)
	}
	return []string{fmt.Sprintf("this is %s. The files for its next boot: seawall compile --for %s.%s", f.System.Title, f.System.Name, but)}
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
		detail := "Published ports need net.ipv4.ip_forward; Docker enables it when it starts, and something has disabled it since."
		if d.onNFT() {
			detail = "Published ports need net.ipv4.ip_forward, which Docker does not enable when it uses its nftables backend."
		}
		d.add(Finding{Code: "SD014", Summary: "the host does not forward IPv4 packets", Detail: detail,
			Traffic: []string{"clients cannot reach containers through DNAT"}, Fix: []string{"sysctl -w net.ipv4.ip_forward=1"}})
	}
	if f.OtherBackend != "" {
		d.add(Finding{Code: "SD012", Summary: fmt.Sprintf("the %s backend of iptables has rules as well", f.OtherBackend),
			Detail:  "A packet has to pass the rules of both backends, and each command shows only its own. Docker writes to the backend of the iptables command that it runs.",
			Traffic: []string{"whatever the rules of that backend drop"},
			Advice:  fmt.Sprintf("review them with iptables-%s-save, then move or flush them", map[string]string{"legacy": "legacy", "nf_tables": "nft"}[f.OtherBackend])})
	}
	if f.UFW != nil {
		d.ufw(f.UFW)
	}
	if f.Persistent != nil && d.runsDocker() {
		d.persistent(f.Persistent)
	}
	if f.Active["firewalld"] && d.hasRules() && !(d.hasSeawall() && d.seawallChains()) {
		d.add(Finding{Code: "SD016", Summary: "firewalld is active, and DOCKER-USER rules do not survive its reloads",
			Detail:  "When firewalld reloads, Docker recreates its chains with its own rules ahead of the jump to DOCKER-USER; with older engines the jump then stays last. Zones and rich rules cannot replace these rules: firewalld accepts packets rewritten by DNAT before it consults its zones.",
			Traffic: []string{"new connections to published ports after a reload: whatever DOCKER-USER denies gets in, for half a second or permanently"},
			Advice:  "load the policy as a table of its own, which firewalld and Docker leave alone: seawall apply --format nftables --persist /etc/seawall. Until then, load the rules again after each reload and run doctor; seawall watch does both"})
	}
}

// hasRules reports whether DOCKER-USER has rules other than the RETURN of older engines.
func (d *doctor) hasRules() bool {
	return slices.ContainsFunc(d.host.Families, ruled)
}

// ruled reports the same of one family.
func ruled(t docker.Tables) bool {
	c := t.Filter.Chain(iptables.DockerUser)
	return c != nil && slices.ContainsFunc(c.Rules(), func(r *iptables.Rule) bool { return r.Spec() != "-j RETURN" })
}

// NotSeen returns notes about what could not be read.
func (f *Facts) NotSeen() []string {
	var list []string
	for _, what := range f.Unseen {
		list = append(list, what+".")
	}
	return list
}

// firewalls returns notes about other active firewalls.
func (f *Facts) firewalls() []string {
	var list []string
	switch {
	case f.Active["ufw"] && f.UFW != nil && f.UFW.Ours():
		list = append(list, "ufw is active, and loads Seawall's rules at each start and reload.")
	case f.Active["ufw"]:
		list = append(list, "ufw is active. Its rules do not filter published ports, because DOCKER-USER handles them first; \"ufw reload\" does not touch that chain.")
	}
	if f.Active["firewalld"] {
		list = append(list, "firewalld is active. Its zones do not filter published ports, and DOCKER-USER rules do not survive a reload of firewalld.")
	}
	return list
}

// runsDocker reports whether any family has Docker's chains.
func (d *doctor) runsDocker() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return docker.Look(t).Engine != docker.NoEngine })
}

// nftables reports whether the daemon uses its nftables backend.
func (d *doctor) nftables() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return t.Known != nil && t.Known.Nftables })
}

// onNFT reports whether Docker's tables of its nftables backend are there.
func (d *doctor) onNFT() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool {
		return t.NFT != nil && slices.ContainsFunc(t.NFT.Tables, (*nftables.Table).Dockers)
	})
}

// sawNFT reports whether the tables of nft were read.
func (d *doctor) sawNFT() bool {
	return slices.ContainsFunc(d.host.Families, func(t docker.Tables) bool { return t.NFT != nil })
}

// noIP6Tables reports whether daemon.json keeps Docker from writing rules for IPv6.
func (f *Facts) noIP6Tables() bool {
	var c struct {
		IP6Tables *bool `json:"ip6tables"`
	}
	_ = json.Unmarshal(f.DaemonJSON, &c) // what cannot be read is reported elsewhere
	return c.IP6Tables != nil && !*c.IP6Tables
}

// noChains reports a host whose daemon runs but which has none of Docker's chains.
func (d *doctor) noChains() {
	d.add(Finding{Code: "SD001", Summary: "Docker is running, but none of its chains exist", Detail: "Its daemon answers, but neither the filter nor the nat table has any of its chains. Something replaced the tables while Docker was running: a plain iptables-restore, a restart of iptables.service, or a firewall reload. Find out what did, or it will happen again.",
		Traffic: []string{"only docker-proxy serves published ports, bypassing DOCKER-USER; networks are not isolated, and containers cannot reach the outside"}, Fix: []string{restart}})
}

// backend reports Docker's nftables backend where its tables are not there or could not be read:
// no iptables rule affects what Docker does, except for a DROP policy that an older engine left
// behind.
func (d *doctor) backend() {
	switch {
	case d.onNFT():
		return
	case d.sawNFT() && d.host.Facts.Daemon && d.nftables():
		d.add(Finding{Code: "SD001", Summary: "Docker is running, but none of its tables exist", Detail: "Its daemon answers and uses its nftables backend, but its tables docker-bridges are missing. Something deleted them while Docker was running, such as nft flush ruleset, which Debian's nftables.service runs when it starts and stops. Find out what did, or it will happen again.",
			Traffic: []string{"only docker-proxy serves published ports; networks are not isolated, and containers cannot reach the outside"}, Fix: []string{restart}})
		return
	}
	d.add(Finding{Code: "SD013", Summary: "Docker uses its nftables backend", Detail: "That backend has no DOCKER-USER chain. A policy belongs into a table of nftables.",
		Traffic: []string{"every published port: no DOCKER-USER rule applies"}, Advice: "load the policy with seawall apply --format nftables, and examine Docker's tables with nft list ruleset > FILE; seawall doctor --rules FILE"})
	for _, t := range d.host.Families {
		if c := t.Filter.Chain("FORWARD"); c != nil && c.Policy == "DROP" {
			d.add(Finding{Code: "SD013", Summary: fmt.Sprintf("FORWARD's policy in iptables is still DROP for IPv%d", t.Family), Place: place(t.Family, "FORWARD", 0),
				Detail:  "An engine that used iptables set it. A packet has to pass both iptables and nftables, so nothing reaches a container.",
				Traffic: []string{"connections to published ports and connections from containers: denied"}, Advice: command(t.Family) + " -P FORWARD ACCEPT, if this host routes for other networks as well; otherwise accept container traffic in FORWARD"})
		}
	}
}

// daemon checks what daemon.json sets for the rules, and the backend. It reports whether Docker
// should have iptables rules.
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
		d.add(Finding{Code: "SD011", Summary: "daemon.json cannot be read", Detail: err.Error() + ".", Advice: "run dockerd --validate to find the error"})
		return false
	}
	rules = true
	for i, value := range []*bool{c.IPTables, c.IP6Tables} {
		name := []string{"iptables", "ip6tables"}[i]
		if value != nil && !*value {
			rules = rules && i > 0
			d.add(Finding{Code: "SD011", Summary: fmt.Sprintf("daemon.json sets %q to false", name), Detail: "Docker then adds no rules: published ports and network isolation stop working unless you write all of Docker's rules yourself.",
				Traffic: []string{"only docker-proxy serves published ports, through INPUT"}, Advice: "remove the line from /etc/docker/daemon.json, then " + restart})
		}
	}
	if c.Backend == "nftables" || d.nftables() {
		d.backend()
		rules = false
	}
	return rules
}
