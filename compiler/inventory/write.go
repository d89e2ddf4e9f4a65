package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Policy writes a first policy: each container's ports stay open to everybody, as they are
// without a policy, and each is marked for a decision.
func Policy(ports []Port, external []string) []byte {
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "The published ports of this host, as open as they are today. Decide on each.")
	host := f.Body().AppendNewBlock("host", nil).Body()
	host.SetAttributeValue("external", strs(external))
	comment(host, "Once every port is named below, \"deny\" closes all other forwarded traffic. A port that is not named stays open through docker-proxy.")
	host.SetAttributeValue("unlisted", cty.StringVal("allow"))
	names := map[string]bool{}
	ports, shared := claim(everyAddress(ports))
	var inside []Port
	for i := 0; i < len(ports); {
		group := []Port{ports[i]}
		for i++; i < len(ports) && ports[i].Container == group[0].Container && ports[i].Address == group[0].Address; i++ {
			group = append(group, ports[i])
		}
		if !group[0].Outside() {
			inside = append(inside, group...)
			continue
		}
		f.Body().AppendNewline()
		writePolicy(f.Body(), group, names)
	}
	if len(inside) > 0 {
		f.Body().AppendNewline()
		comment(f.Body(), "Published only on the loopback address, which nobody outside can reach:")
		for _, p := range inside {
			comment(f.Body(), fmt.Sprintf("  %s: %s on %s", oneLine(p.Container), p.Name(), p.Address))
		}
	}
	if len(shared) > 0 {
		f.Body().AppendNewline()
		comment(f.Body(), "Also published by a container above, whose policy decides:")
		for _, p := range shared {
			comment(f.Body(), fmt.Sprintf("  %s: %s", oneLine(p.Container), p.Name()))
		}
	}
	return hclwrite.Format(f.Bytes())
}

// claim separates the ports that an earlier container publishes as well: several containers may
// be created with one port although only one of them can run, and two policies must not claim it.
func claim(ports []Port) (own, shared []Port) {
	for _, p := range ports {
		rest := []Port{p}
		for _, o := range own {
			if o.Protocol != p.Protocol || o.Address != p.Address {
				continue
			}
			var left []Port
			for _, r := range rest {
				before, both, after := r, r, r
				before.Last, after.First = min(r.Last, o.First-1), max(r.First, o.Last+1)
				both.First, both.Last = max(r.First, o.First), min(r.Last, o.Last)
				if both.First > both.Last {
					left = append(left, r)
					continue
				}
				shared = append(shared, both)
				for _, x := range []Port{before, after} {
					if x.First <= x.Last {
						left = append(left, x)
					}
				}
			}
			rest = left
		}
		own = append(own, rest...)
	}
	return own, join(shared)
}

// everyAddress replaces "every address of a family" with "every address": a first policy covers
// both.
func everyAddress(ports []Port) []Port {
	list := slices.Clone(ports)
	for i, p := range list {
		if p.Address.IsUnspecified() {
			list[i].Address = netip.Addr{}
		}
	}
	return join(list)
}

func writePolicy(body *hclwrite.Body, group []Port, names map[string]bool) {
	first := group[0]
	b := body.AppendNewBlock("policy", []string{unique(first.Container, names)}).Body()
	if first.Image != "" {
		b.SetAttributeValue("description", cty.StringVal(oneLine(first.Image)))
	}
	var list []string
	for _, p := range group {
		list = append(list, p.Name())
	}
	b.SetAttributeValue("ports", strs(list))
	if first.Address.IsValid() {
		b.SetAttributeValue("address", strs([]string{first.Address.String()}))
	}
	if first.Routed {
		comment(b, "Its network is routed: this is the container's own address, which changes when the container is recreated.")
	}
	comment(b, "Open to everybody today. To restrict it: \"deny\", and allow { sources = [...] } for those who may reach it.")
	b.SetAttributeValue("default", cty.StringVal("allow"))
}

func comment(b *hclwrite.Body, text string) {
	b.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + text + "\n")}})
}

// oneLine keeps untrusted text on one line.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// unique derives a unique policy name from a container's.
func unique(name string, names map[string]bool) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, name)
	if clean == "" {
		clean = "container"
	}
	for base, n := clean, 2; names[clean]; n++ {
		clean = fmt.Sprintf("%s-%d", base, n)
	}
	names[clean] = true
	return clean
}

func strs(values []string) cty.Value {
	var list []cty.Value
	for _, v := range values {
		list = append(list, cty.StringVal(v))
	}
	return cty.ListVal(list)
}
