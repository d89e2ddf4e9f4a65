package system

import "github.com/seawall/seawall/compiler/emit"

// RHEL is a host of that family with iptables-services, and without firewalld.
var RHEL = register(System{
	Name: "rhel", Title: "RHEL, Fedora and similar, with iptables-services", Order: 60,
	Format: emit.Sysconfig, Folder: "/etc/sysconfig",
	SwitchOn: []string{"systemctl enable iptables ip6tables"},
	Sets:     "Without its ipsets no rule is loaded. ipset-service loads /etc/sysconfig/ipset before the rules: dnf install ipset-service && systemctl enable ipset.",
	Trap:     "Do not restart or stop iptables.service while Docker runs: it deletes Docker's chains, and published ports stop working until Docker restarts. seawall apply changes a running host.",
	Is:       func(f *Facts) bool { return f.like("rhel", "fedora", "centos") && f.Units["iptables"] },
})
