package system

// OpenSUSE has firewalld, and nothing that loads rules of iptables at boot.
var OpenSUSE = register(withUnit(System{
	Name: "opensuse", Title: "openSUSE", Order: 11,
	Trap: "Its firewall is firewalld, beside which rules in DOCKER-USER do not hold: at each reload Docker puts its own before them. Zones and policies do not see published ports.",
	Is:   func(f *Facts) bool { return f.like("opensuse", "suse", "sles") },
}))
