package system

import "github.com/seawall/seawall/compiler/emit"

// Arch is Arch Linux with the units of its package iptables.
var Arch = register(System{
	Name: "arch", Title: "Arch Linux", Order: 61,
	Format: emit.Sysconfig, Folder: "/etc/iptables",
	Names:    map[string]string{"iptables": "iptables.rules", "ip6tables": "ip6tables.rules"},
	SwitchOn: []string{"systemctl enable iptables ip6tables"},
	Trap:     "Do not reload, restart or stop iptables.service while Docker runs: each deletes Docker's chains. The back end is nf_tables now: rules that iptables-legacy holds beside it still drop packets.",
	Is:       func(f *Facts) bool { return f.like("arch", "archlinux") && f.Units["iptables"] },
})
