package nftables

import "strings"

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
					name = s.Left.Text
				case *Note:
					name = s.Text
				}
				if _, isNote := s.(*Note); name == "" || isNote && name != "notrack" {
					continue
				}
				if old := list[name]; old == "" || old > r.where(c) {
					list[name] = r.where(c)
				}
				if name == "meta mark" {
					list["mark"] = list[name]
				}
			}
		}
	}
	return list
}

// where names a rule that changes something.
func (r *Rule) where(c *Chain) string { return "changed by: " + c.Name + ": " + r.String() }
