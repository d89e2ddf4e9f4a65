package system

import "github.com/seawall/seawall/compiler/emit"

// Debian is a host whose rules netfilter-persistent loads.
var Debian = register(withPersistent(System{
	Name: "debian", Title: "Debian and similar, with iptables-persistent", Order: 51,
	Trap: "Without IPTABLES_RESTORE_NOFLUSH a reload of netfilter-persistent deletes Docker's chains. Never run netfilter-persistent save: it writes Docker's rules into the files, and each reload then adds them again.",
	Is:   func(f *Facts) bool { return f.Units["netfilter-persistent"] && f.like("debian") },
}))

// withPersistent completes a system with netfilter-persistent. What its save would write
// is Docker's as well.
func withPersistent(s System) System {
	const defaults = "/etc/default/netfilter-persistent"
	s.Format, s.Folder = emit.Persistent, "/etc/iptables"
	s.Sets = "Without its ipsets no rule is loaded. ipset-persistent loads /etc/iptables/ipsets before the rules: apt install ipset-persistent."
	s.Names = map[string]string{"ipset": "ipsets"}
	s.SwitchOn = []string{
		"grep -qsx IPTABLES_RESTORE_NOFLUSH=yes " + defaults + " ||\n    printf 'IP%sTABLES_%s=yes\\n' '' RESTORE_NOFLUSH 6 RESTORE_NOFLUSH '' SKIP_SAVE 6 SKIP_SAVE >> " + defaults,
		"systemctl enable netfilter-persistent && netfilter-persistent reload",
	}
	return s
}
