package render

import (
	"fmt"
	"slices"
)

// station is one place on a packet's way, with what is decided there.
type station struct {
	Name  string
	Lines []string
}

type waySide int

const (
	forwardWay waySide = iota // to a container, over DNAT
	inputWay                  // to docker-proxy, over the host itself
)

// mostNames is how many policies a station lists.
const mostNames = 8

// way is a packet's way from outside: through FORWARD to a container, or through
// INPUT to docker-proxy.
func (p *Page) way(side waySide) []station {
	from := station{"From outside", []string{p.Host.Arrival()}}
	decides := p.decides(side)
	if side == inputWay {
		return []station{from, {"INPUT → SEAWALL-INPUT", decides},
			{"the host's own INPUT rules", nil}, {"docker-proxy", []string{"IPv6 to networks without it"}}}
	}
	return []station{from, {"nat PREROUTING", []string{"Docker rewrites the destination"}},
		{"FORWARD → DOCKER-USER", decides}, {"Docker's own rules", nil}, {"the container", nil}}
}

// decides lists what decides in a chain, in order (SPEC.md section 2).
func (p *Page) decides(side waySide) []string {
	var list []string
	n := 0
	add := func(text string) {
		n++
		list = append(list, fmt.Sprintf("%d. %s", n, text))
	}
	if side == forwardWay {
		if what := p.Host.treated("accept"); what != "" {
			add(what + ": accept, on every interface")
		}
		if p.Host.Invalid != "" {
			add("invalid packets: " + p.Host.Invalid + ", on every interface")
		}
		for _, f := range p.Forwards {
			add("forward " + f.Name + ": accept")
		}
		if len(p.Host.Bridges) > 0 {
			add("what does not leave by " + joined(p.Host.Bridges) + " passes")
		}
	}
	add("answers and ICMP errors pass")
	kept := []string{"keep"}
	if side == inputWay {
		kept = append(kept, "accept")
	}
	if what := p.Host.treated(kept...); what != "" {
		add(what + " pass")
	}
	if len(p.Guard) > 0 {
		add("guard")
	}
	for i, x := range p.Policies {
		if i == mostNames && len(p.Policies) > mostNames+1 {
			add(fmt.Sprintf("and %d more policies", len(p.Policies)-i))
			break
		}
		add("policy " + x.Name + ": " + short(x.Ports))
	}
	if side == forwardWay {
		add("unlisted: " + p.Host.Unlisted)
	} else {
		add("all else passes")
	}
	return list
}

// treated names the packets that the host treats in one of some ways; "" for none.
func (h Host) treated(ways ...string) string {
	established, related := slices.Contains(ways, h.Established), slices.Contains(ways, h.Related)
	switch {
	case established && related:
		return "established and related connections"
	case established:
		return "established connections"
	case related:
		return "related connections"
	}
	return ""
}

// Arrival says where traffic from outside arrives.
func (h Host) Arrival() string { return h.arrival(joined) }

// arrival is Arrival with its lists of interfaces written in some way.
func (h Host) arrival(list func([]string) string) string {
	text := "on " + list(h.External)
	if len(h.External) == 1 && h.External[0] == "+" {
		text = "on every interface"
	}
	if len(h.Internal) > 0 {
		text += " except " + list(h.Internal)
	}
	return text
}

func short(ports []string) string {
	if len(ports) > 3 {
		return joined(ports[:3]) + fmt.Sprintf(" and %d more", len(ports)-3)
	}
	return joined(ports)
}

func joined(values []string) string {
	text := ""
	for i, v := range values {
		if i > 0 {
			text += ", "
		}
		text += v
	}
	return text
}
