package nftables

import (
	"cmp"
	"strings"
)

// writes are the sets that rules of each table add to or delete from.
func (f *File) writes() map[*Table]map[string]bool {
	list := map[*Table]map[string]bool{}
	for _, t := range f.Tables {
		list[t] = map[string]bool{}
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				for _, s := range r.Statements {
					if x, ok := s.(*Foreign); ok {
						for _, word := range strings.Fields(x.Text) {
							if name, isSet := strings.CutPrefix(word, "@"); isSet {
								list[t][name] = true
							}
						}
					}
				}
			}
		}
	}
	return list
}

// separate are what a rule can assign without changing what any other selector reads. Other
// fields have several names (tcp dport and th dport), or say how the rest is to be read
// (ip protocol); and a payload such as @nh,96,32 may be anything.
var separate = map[string]bool{"meta mark": true, "mark": true, "ct mark": true, "ct label": true, "ct event": true, "ct zone": true,
	"meta priority": true, "meta nftrace": true, "meta pkttype": true, "meta secmark": true, "ct secmark": true,
	"ip saddr": true, "ip daddr": true, "ip6 saddr": true, "ip6 daddr": true,
	"ip dscp": true, "ip ecn": true, "ip ttl": true, "ip id": true, "ip checksum": true, "ip6 dscp": true, "ip6 ecn": true, "ip6 flowlabel": true, "ip6 hoplimit": true}

// everything stands for all fields.
const everything = "*"

// changes are the fields that rules of some chains assign, with the first rule that
// does so.
func changes(chains map[*Chain]bool) map[string]string {
	list := map[string]string{}
	for c := range chains {
		for _, r := range c.Rules {
			for _, s := range r.Statements {
				name := ""
				switch s := s.(type) {
				case *Assign:
					name = cmp.Or(s.Left.Text, string(s.Left.append(nil)))
				case *Note:
					name = s.Text
				}
				if _, isNote := s.(*Note); name == "" || isNote && name != "notrack" {
					continue
				}
				if old := list[name]; old == "" || old > r.where(c) {
					list[name] = r.where(c)
				}
				switch {
				case name == "meta mark":
					list["mark"] = list[name]
				case name != "notrack" && !separate[name]:
					list[everything] = list[name]
				}
			}
		}
	}
	return list
}

// where names a rule that changes something.
func (r *Rule) where(c *Chain) string { return "changed by: " + c.Name + ": " + r.String() }
