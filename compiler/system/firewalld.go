package system

// Firewalld is a host whose firewall is firewalld. Its reloads leave tables of others
// alone, and make Docker write its own rules before the jump to DOCKER-USER
// (NETFILTER.md section 10).
var Firewalld = register(withUnit(System{
	Name: "firewalld", Title: "a host with firewalld", Order: 10,
	Trap: "Rules in DOCKER-USER do not hold beside firewalld, direct rules or not: at each reload Docker puts its own before them. Its zones and policies do not see published ports.",
	Is:   func(f *Facts) bool { return f.Units["firewalld"] && !f.like("opensuse", "suse", "sles") },
}))
