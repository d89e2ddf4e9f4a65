package system

import (
	"bytes"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// UFW is a host whose firewall is ufw.
var UFW = register(System{
	Name: "ufw", Title: "a host with ufw", Order: 20,
	Format: emit.UFW, Folder: "/etc/ufw",
	SwitchOn: []string{"ufw reload"},
	Sets:     "Without its ipsets ufw loads none of the rules, and every port is open. before.init creates those that are missing, with the program ipset (apt install ipset); one that is there must hold addresses of the family that the policy names it for.",
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
	Disabled   bool      // ufw loads nothing at boot
}

// Ours reports whether any of the files has Seawall's part.
func (u *UFWFiles) Ours() bool {
	return emit.HasBlock(u.Hook) || emit.HasBlock(u.Rules[0]) || emit.HasBlock(u.Rules[1])
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

// Holds reports whether the file of a family has rules of DOCKER-USER in Seawall's block,
// and ufw loads it.
func (u *UFWFiles) Holds(f packet.Family) bool {
	text := u.Rules[(f-packet.IPv4)/2]
	return emit.HasBlock(text) && bytes.Contains(text, []byte("\n-A DOCKER-USER ")) && (f == packet.IPv4 || LoadsIPv6(u.Defaults))
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
