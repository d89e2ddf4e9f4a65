package system

import (
	"bytes"
	"regexp"

	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// PersistentFiles are what netfilter-persistent loads when it starts, and at each reload.
type PersistentFiles struct {
	Defaults []byte    // /etc/default/netfilter-persistent
	Rules    [2][]byte // rules.v4 and rules.v6, nil for none
}

// Flushes returns the paths of the files with Seawall's rules that a reload loads with a
// flush, which deletes Docker's chains.
func (p *PersistentFiles) Flushes() []string {
	return p.paths(func(i int) bool {
		return emit.OwnReload(p.Rules[i]) && !p.says([]string{"IPTABLES", "IP6TABLES"}[i]+"_RESTORE_NOFLUSH")
	})
}

// Holds reports whether the file of a family has Seawall's rules of DOCKER-USER.
func (p *PersistentFiles) Holds(f packet.Family) bool {
	text := p.Rules[(f-packet.IPv4)/2]
	return emit.OwnReload(text) && bytes.Contains(text, []byte("\n-A DOCKER-USER "))
}

// Saved returns the paths of the files with rules that Docker makes, as
// netfilter-persistent save leaves them.
func (p *PersistentFiles) Saved() []string {
	return p.paths(func(i int) bool { return dockersRule.Match(p.Rules[i]) })
}

// dockersRule is a rule of one of Docker's own chains, but not of DOCKER-USER.
var dockersRule = regexp.MustCompile(`(?m)^(\[\d+:\d+\] )?-A (DOCKER|DOCKER-FORWARD|DOCKER-CT|DOCKER-BRIDGE|DOCKER-ISOLATION-STAGE-[12]) `)

func (p *PersistentFiles) paths(is func(int) bool) []string {
	var list []string
	for i, name := range Debian.Format.Names {
		if is(i) {
			list = append(list, Debian.Path(name))
		}
	}
	return list
}

// says reports whether a variable of the defaults is yes.
func (p *PersistentFiles) says(name string) bool { return shellValue(p.Defaults, name) == "yes" }
