package system

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
)

// Facts are what systems are recognised by.
type Facts struct {
	OSRelease []byte          // /etc/os-release
	Units     map[string]bool // services that run, or start at boot: firewalld, iptables, netfilter-persistent
	UFW       bool            // ufw is enabled
	NFTables  bool            // Docker runs with its nftables backend
}

// Of returns the system of a host. Every host is one: where nothing else loads rules at
// boot, a table of nftables with a unit of its own does; it also does where Docker has no
// DOCKER-USER.
func Of(f *Facts) *System {
	for _, s := range systems {
		if s.Is(f) && (s.Format.NFT || !f.NFTables) {
			return s
		}
	}
	return NFTables
}

// like reports whether the host's distribution, or one that it is made from, has one of
// these names.
func (f *Facts) like(names ...string) bool {
	return slices.ContainsFunc(f.distributions(), func(id string) bool { return slices.Contains(names, id) })
}

// distributions are the words of ID and ID_LIKE.
func (f *Facts) distributions() []string {
	var list []string
	for s := bufio.NewScanner(bytes.NewReader(f.OSRelease)); s.Scan(); {
		key, value, _ := strings.Cut(strings.TrimSpace(s.Text()), "=")
		if key == "ID" || key == "ID_LIKE" {
			list = append(list, strings.Fields(strings.Trim(value, `"'`))...)
		}
	}
	return list
}

// shellValue returns the value that a file of assignments for a shell gives a variable:
// the last one counts. The files of defaults have no other commands.
func shellValue(text []byte, name string) string {
	value := ""
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		words = slices.DeleteFunc(words, func(w string) bool { return w == "export" })
		if len(words) > 0 {
			if v, ok := strings.CutPrefix(words[0], name+"="); ok {
				value = strings.Trim(v, `"'`)
			}
		}
	}
	return value
}
