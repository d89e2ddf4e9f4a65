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
	Builtins   bool      // ufw flushes the built-in chains at each reload
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
