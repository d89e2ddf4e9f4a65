package system

import "github.com/seawall/seawall/compiler/emit"

// Alpine is a host whose rules OpenRC's iptables loads.
var Alpine = register(System{
	Name: "alpine", Title: "Alpine Linux with OpenRC", Order: 40,
	Format: emit.Sysconfig, Folder: "/etc/iptables",
	Names: map[string]string{"iptables": "rules-save", "ip6tables": "rules6-save"},
	SwitchOn: []string{
		`sed -i 's/^SAVE_ON_STOP=.*/SAVE_ON_STOP="no"/' /etc/conf.d/iptables /etc/conf.d/ip6tables`,
		"rc-update add iptables && rc-update add ip6tables",
	},
	Trap: "With SAVE_ON_STOP=\"yes\", as shipped, a shutdown replaces the files with the rules of that moment, Docker's included. Do not reload or stop iptables while Docker runs: it flushes every table.",
	Is:   func(f *Facts) bool { return f.like("alpine") },
})
