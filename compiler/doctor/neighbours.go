package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
)

// neighbours says what other software with rules on Docker hosts does there, and what a
// policy does to it (NETFILTER.md section 10). It is recognised by the names that it gives
// to chains, sets and tables.
func (d *doctor) neighbours() []string {
	var list []string
	for _, t := range d.host.Families {
		for _, note := range slices.Concat(d.bans(t), d.dockerUsers(t.Filter), tailscale(t.Filter)) {
			if !slices.Contains(list, note) {
				list = append(list, note)
			}
		}
	}
	return list
}

// bans is about fail2ban and CrowdSec.
func (d *doctor) bans(t docker.Tables) []string {
	var list []string
	isBan := func(r *iptables.Rule) bool { return strings.HasPrefix(r.Target.Name, "f2b-") }
	if names := targets(t.Filter, iptables.DockerUser, isBan); names != nil {
		list = append(list, fmt.Sprintf("fail2ban bans in DOCKER-USER (%s). %s", strings.Join(names, ", "), d.afterLoad("its bans", "it does not make its jump again")))
	} else if names := targets(t.Filter, "INPUT", isBan); names != nil && d.runsDocker() {
		list = append(list, fmt.Sprintf("fail2ban bans in INPUT only (%s): whom it bans still reaches published ports, which are forwarded. Set chain = DOCKER-USER in the jails that guard them, and docker_user = \"shared\" in the policy.", strings.Join(names, ", ")))
	}
	isCrowdSec := func(r *iptables.Rule) bool {
		return r.Target.Name == "CROWDSEC_CHAIN" || strings.Contains(r.String(""), "--match-set crowdsec")
	}
	if targets(t.Filter, iptables.DockerUser, isCrowdSec) != nil {
		list = append(list, "CrowdSec's bouncer blocks in DOCKER-USER. "+d.afterLoad("its rules", "what it blocks gets in"))
	}
	if t.NFT != nil && slices.ContainsFunc(t.NFT.Tables, func(x *nftables.Table) bool { return x.Name == "crowdsec" || x.Name == "crowdsec6" }) {
		list = append(list, "CrowdSec's bouncer blocks in tables of its own: what it or a policy denies is denied, and loading a policy leaves them alone.")
	}
	return list
}

// afterLoad says what becomes of rules of others in DOCKER-USER.
func (d *doctor) afterLoad(whose, then string) string {
	if d.shares() {
		return "The policy shares the chain, so loading it leaves " + whose + " alone."
	}
	return "Loading a policy removes " + whose + ", and " + then + ", unless its host block has docker_user = \"shared\"."
}

// dockerUsers is about other software that keeps policies in DOCKER-USER.
func (d *doctor) dockerUsers(t *iptables.Table) []string {
	var list []string
	if targets(t, iptables.DockerUser, func(r *iptables.Rule) bool { return r.Target.Name == "ufw-user-forward" }) != nil {
		list = append(list, "ufw-docker's rules are in DOCKER-USER. They match containers' own ports and addresses, so a container that comes back with another address is closed to its clients. seawall import reads them, and compile --for ufw --force replaces them.")
	}
	if targets(t, iptables.DockerUser, func(r *iptables.Rule) bool { return r.Target.Name == "whalewall" }) != nil {
		list = append(list, "whalewall keeps its rules in DOCKER-USER. "+d.afterLoad("them", "the labels of containers count no more")+" What either denies is denied: keep one of the two.")
	}
	return list
}

// tailscale is about a chain that accepts before DOCKER-USER.
func tailscale(t *iptables.Table) []string {
	at := jumps(t)
	c := t.Chain("FORWARD")
	if c == nil || len(at) == 0 {
		return nil
	}
	i := slices.IndexFunc(c.Rules(), func(r *iptables.Rule) bool { return r.Target.Name == "ts-forward" })
	if i < 0 || i > at[0] {
		return nil
	}
	return []string{"Tailscale's chain ts-forward comes before DOCKER-USER and accepts what arrives on tailscale0: its own access rules decide about published ports there, and no policy in DOCKER-USER. One in a table of its own does (--format nftables)."}
}

// targets are the names of the targets of rules of a chain, each once; nil for none.
func targets(t *iptables.Table, chain string, is func(*iptables.Rule) bool) []string {
	c := t.Chain(chain)
	if c == nil {
		return nil
	}
	var list []string
	for _, r := range c.Rules() {
		if is(r) && !slices.Contains(list, r.Target.Name) {
			list = append(list, r.Target.Name)
		}
	}
	return list
}
