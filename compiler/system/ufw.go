package system

import "github.com/seawall/seawall/compiler/emit"

// UFW is a host whose firewall is ufw.
var UFW = register(System{
	Name: "ufw", Title: "a host with ufw", Order: 20,
	Format: emit.UFW, Folder: "/etc/ufw",
	SwitchOn: []string{"ufw reload"},
	Trap: "What the policy allows is left to ufw's INPUT, it is not accepted there: an IPv6 client that comes in through docker-proxy also needs ufw allow PORT. " +
		"ufw reset moves after.rules aside, and the block with it: compile --check notices.",
	Is: func(f *Facts) bool { return f.UFW },
})

// UFWFiles are what ufw loads when it starts, next time.
type UFWFiles struct {
	Hook       []byte    // before.init, nil for none
	Executable bool      // so ufw runs it
	Rules      [2][]byte // after.rules and after6.rules, nil for none
	Defaults   []byte    // /etc/default/ufw
}

// UFWDefaults is the file with ufw's defaults, from the root of a host.
const UFWDefaults = "etc/default/ufw"

// NoIPv6 says what IPV6=no does on a host whose policy is in ufw's files.
const NoIPv6 = "ufw loads nothing for IPv6: /" + UFWDefaults + " has IPV6=no. Each of its starts flushes the filter table of IPv6, Docker's chains and the policy's jumps included"

// FlushesBuiltins reports whether ufw's defaults make it flush the built-in chains at
// each reload. ufw compares the word as it is.
func FlushesBuiltins(defaults []byte) bool { return shellValue(defaults, "MANAGE_BUILTINS") == "yes" }

// LoadsIPv6 reports whether ufw loads its files of IPv6 rules; without defaults, as
// Debian's package has them, it does.
func LoadsIPv6(defaults []byte) bool {
	value := shellValue(defaults, "IPV6")
	return defaults == nil || value == "yes" || value == "YES"
}

// Moved returns the paths of the files of rules from which Seawall's block is gone while
// before.init has it, as ufw reset leaves them.
func (u *UFWFiles) Moved() []string {
	var list []string
	for i, text := range u.Rules {
		if emit.HasBlock(u.Hook) && !emit.HasBlock(text) {
			list = append(list, UFW.Path(UFW.Format.Names[i]))
		}
	}
	return list
}

// Uncalled reports that ufw loads Seawall's rules and makes no jump to them.
func (u *UFWFiles) Uncalled() bool {
	return (emit.HasBlock(u.Rules[0]) || emit.HasBlock(u.Rules[1])) && !(emit.HasBlock(u.Hook) && u.Executable)
}
