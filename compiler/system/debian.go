package system

import "github.com/seawall/seawall/compiler/emit"

// Debian is a host whose rules netfilter-persistent loads.
var Debian = register(withPersistent(System{
	Name: "debian", Title: "Debian and similar, with iptables-persistent", Order: 51,
	Trap: inputIsTheFiles + "Without IPTABLES_RESTORE_NOFLUSH a reload of netfilter-persistent deletes Docker's chains. Never run netfilter-persistent save: it writes Docker's rules into the files, and each reload then adds them again.",
	Is:   func(f *Facts) bool { return f.Units["netfilter-persistent"] && f.like("debian") },
}))

// PluginFolder is where netfilter-persistent has its plugins, which it runs in the order of
// their names.
const PluginFolder = "/usr/share/netfilter-persistent/plugins.d"

// withPersistent completes a system with netfilter-persistent. What its save would write
// is Docker's as well.
func withPersistent(s System) System {
	const defaults = "/etc/default/netfilter-persistent"
	s.Format, s.Folder = emit.Persistent, "/etc/iptables"
	s.Sets = "Without its ipsets no rule is loaded. ipset-persistent loads /etc/iptables/ipsets before the rules: apt install ipset-persistent."
	s.Names = map[string]string{"ipset": "ipsets"}
	s.Boot = func() []emit.File { return []emit.File{emit.PersistentPlugin()} }
	s.SwitchOn = []string{
		"install -m 755 " + s.Folder + "/" + emit.PluginName + " " + PluginFolder + "/",
		"grep -qsx IPTABLES_RESTORE_NOFLUSH=yes " + defaults + " ||\n    printf 'IP%sTABLES_%s=yes\\n' '' RESTORE_NOFLUSH 6 RESTORE_NOFLUSH '' SKIP_SAVE 6 SKIP_SAVE >> " + defaults,
		"for v in '' 6; do ip${v}tables-save -t filter | grep '^-A INPUT ' | grep -vxFf /etc/iptables/rules.v${v:-4}; done; true   # would be lost: add them first",
		"systemctl enable netfilter-persistent && netfilter-persistent reload",
	}
	return s
}

// inputIsTheFiles begins their traps.
const inputIsTheFiles = "Each load empties INPUT first: rules that are not in the files, such as fail2ban's jumps, or the one that lets you in, are lost. "
