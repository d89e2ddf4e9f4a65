package render

import "fmt"

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
	from := station{"From outside", []string{"on " + joined(p.Host.External)}}
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
		for _, f := range p.Forwards {
			add("forward " + f.Name + ": accept")
		}
	}
	add("answers and ICMP errors pass")
	if p.Host.Established == "keep" {
		add("established connections pass")
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
