package system

import (
	"github.com/seawall/seawall/compiler/emit"
)

// folder is where Seawall keeps files of its own.
const folder = "/etc/seawall"

// NFTables is any host with nft and systemd; also one whose Docker has no DOCKER-USER.
var NFTables = register(withUnit(System{
	Name: "nftables", Title: "any host with nft and systemd", Order: 100,
	Trap: "nft flush ruleset deletes the table, and Docker's rules with it: nftables.service does that at its start, stop and reload. The unit and the drop-in load the table again.",
	Is:   func(*Facts) bool { return true },
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
