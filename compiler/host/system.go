package host

import (
	"os"
	"os/exec"
	"regexp"

	"github.com/seawall/seawall/compiler/system"
)

// units are the services by which systems are recognised.
var units = []string{"firewalld", "iptables", "netfilter-persistent"}

// Where to find what a host is.
const (
	osRelease = "/etc/os-release"
	ufwConfig = "/etc/ufw/ufw.conf"
)

// SystemFacts are what this host's system is recognised by. What cannot be read is not
// there.
func SystemFacts() *system.Facts {
	f := &system.Facts{Units: map[string]bool{}}
	f.OSRelease, _ = os.ReadFile(osRelease)
	if config, err := os.ReadFile(ufwConfig); err == nil {
		f.UFW = enabled(config)
	}
	for _, name := range units {
		f.Units[name] = starts(name)
	}
	return f
}

// starts reports whether a service runs, or starts at boot.
func starts(name string) bool {
	return exec.Command("systemctl", "is-active", "--quiet", name).Run() == nil ||
		exec.Command("systemctl", "is-enabled", "--quiet", name).Run() == nil
}

// Firewalld reports whether firewalld runs, or starts at boot.
func Firewalld() bool { return starts("firewalld") }

var ufwEnabled = regexp.MustCompile(`(?im)^\s*ENABLED\s*=\s*["']?yes["']?\s*$`)

// enabled reports whether ufw.conf enables ufw.
func enabled(config []byte) bool { return ufwEnabled.Match(config) }

// UFW reads ufw's files; nil where ufw is not enabled and has nothing of Seawall's.
func UFW() *system.UFWFiles {
	config, err := os.ReadFile(ufwConfig)
	if err != nil {
		return nil
	}
	u := &system.UFWFiles{Disabled: !enabled(config)}
	hook := system.UFW.Path(system.UFW.Format.Hook)
	u.Hook, _ = os.ReadFile(hook)
	if info, err := os.Stat(hook); err == nil {
		u.Executable = info.Mode()&0o100 != 0
	}
	for i, name := range system.UFW.Format.Names {
		u.Rules[i], _ = os.ReadFile(system.UFW.Path(name))
	}
	u.Defaults, _ = os.ReadFile("/" + system.UFWDefaults)
	if u.Disabled && !u.Ours() {
		return nil
	}
	return u
}

// Persistent reads netfilter-persistent's files; nil where it loads nothing at boot.
func Persistent() *system.PersistentFiles {
	if !starts("netfilter-persistent") {
		return nil
	}
	p := &system.PersistentFiles{}
	p.Defaults, _ = os.ReadFile("/etc/default/netfilter-persistent")
	for i, name := range system.Debian.Format.Names {
		p.Rules[i], _ = os.ReadFile(system.Debian.Path(name))
	}
	return p
}
