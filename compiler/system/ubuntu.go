package system

// Ubuntu is Debian with ufw at hand.
var Ubuntu = register(withPersistent(System{
	Name: "ubuntu", Title: "Ubuntu with iptables-persistent", Order: 50,
	Trap: inputIsTheFiles + "Where ufw is active, use --for ufw: the two packages exclude each other. Never run netfilter-persistent save: it writes Docker's rules into the files, and each reload then adds them again.",
	Is:   func(f *Facts) bool { return f.Units["netfilter-persistent"] && f.like("ubuntu") },
}))
