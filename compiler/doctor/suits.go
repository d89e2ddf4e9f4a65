package doctor

import (
	"fmt"

	"github.com/seawall/seawall/compiler/docker"
)

// The formats of a policy's rules, as compile and apply name them.
const (
	formatIPTables = "iptables"
	formatNFT      = "nftables"
)

// suited is the format that suits the host, and why. Either closes the same ports.
func (d *doctor) suited() (format, why string) {
	f := &d.host.Facts
	switch {
	case d.onNFT() || d.nftables():
		return formatNFT, "Docker uses its nftables backend, which has no DOCKER-USER"
	case f.Live && f.NoIPTables:
		return formatNFT, "the host has no iptables"
	case f.Active["firewalld"]:
		return formatNFT, "firewalld is active, and rules in DOCKER-USER do not survive its reloads"
	}
	return formatIPTables, "Docker's rules are those of iptables, and it leaves DOCKER-USER to yours"
}

// suits is a note for a host on which Docker runs and no policy is loaded. Without the tables of
// nft nobody knows that none is.
func (d *doctor) suits() []string {
	if !d.sawNFT() || !d.runsDocker() || d.hasSeawall() || d.seawallChains() || d.hasRules() {
		return nil
	}
	for _, t := range d.host.Families {
		if l := docker.Look(t); l.Tables.ByNFT() && leftOf(t).user {
			return nil
		}
	}
	format, why := d.suited()
	boot := ""
	if system := d.host.Facts.System; format == formatIPTables && system != nil && system.Format.NFT {
		boot = " But nothing here loads them at boot: a table of nftables with a unit does, or what Debian's iptables-persistent and RHEL's iptables-services install."
	}
	return []string{fmt.Sprintf("no policy is loaded here. The format that suits this host is %s: %s.%s", format, why, boot)}
}
