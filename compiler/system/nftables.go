package system

import (
	"github.com/seawall/seawall/compiler/emit"
)

// folder is where Seawall keeps files of its own.
const folder = "/etc/seawall"

// NFTables is any host with nft and systemd; also one whose Docker has no DOCKER-USER.
var NFTables = register(withUnit(System{
	Name: "nftables", Title: "any host with nft and systemd", Order: 100,
	Trap: "nft flush ruleset deletes Docker's rules: nftables.service does that at its start, stop and reload, and Docker has to be restarted then. With the drop-in the table stays. " +
		"/etc/nftables.conf leaves Docker's rules alone if the lines table inet filter and delete table inet filter stand in place of flush ruleset.",
	Is: func(*Facts) bool { return true },
}))

// withUnit completes a system whose rules are a table that a unit of systemd loads.
func withUnit(s System) System {
	s.Format, s.Folder = emit.NFTables, folder
	s.Boot = func() []emit.File { return emit.Units(s.Folder+"/seawall.nft", "/usr/sbin/nft") }
	s.SwitchOn = []string{
		"install -m 644 " + folder + "/" + emit.UnitName + " /etc/systemd/system/",
		"install -D -m 644 " + folder + "/" + emit.DropInName + " /etc/systemd/system/nftables.service.d/" + emit.DropInName,
		"systemctl daemon-reload && systemctl enable --now seawall && systemctl reload seawall",
	}
	return s
}
