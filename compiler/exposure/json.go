package exposure

import "encoding/json"

// words are the means as JSON values.
var words = [...]string{"dnat", "docker-proxy", "routed", "unprotected", "swarm", "redirect"}

type jsonReport struct {
	Ports []jsonPort `json:"ports"`
	Notes []string   `json:"notes"`
}

type jsonPort struct {
	Opened        string    `json:"opened"`
	Port          int       `json:"port,omitempty"`
	Last          int       `json:"last_port,omitempty"`
	Protocol      string    `json:"protocol,omitempty"`
	Address       string    `json:"address,omitempty"`
	Container     string    `json:"container,omitempty"`
	ContainerName string    `json:"container_name,omitempty"`
	Bridge        string    `json:"bridge,omitempty"`
	Local         bool      `json:"local,omitempty"`
	Ways          []jsonWay `json:"ways"`
}

type jsonWay struct {
	Interface string      `json:"interface"`
	Family    int         `json:"family"`
	Address   string      `json:"address,omitempty"`
	Means     string      `json:"way"`
	To        string      `json:"to,omitempty"`
	Who       string      `json:"who"`
	AllBut    bool        `json:"all_but,omitempty"`
	Sources   []string    `json:"sources"`
	KeepsOut  bool        `json:"keeps_out,omitempty"`
	Undecided bool        `json:"undecided,omitempty"`
	Doubts    []jsonDoubt `json:"cannot_be_evaluated,omitempty"`
}

type jsonDoubt struct {
	Table string `json:"table,omitempty"`
	Chain string `json:"chain,omitempty"`
	Rule  string `json:"rule,omitempty"`
	Why   string `json:"why"`
}

// JSON is the report for programs.
func (r *Report) JSON() ([]byte, error) {
	out := jsonReport{Ports: []jsonPort{}, Notes: append([]string{}, r.Notes...)}
	for _, p := range r.Ports {
		x := jsonPort{p.Opened.String(), p.Port, p.Last, p.Protocol, p.Address, p.Container, p.ContainerName, p.Bridge, p.Local, []jsonWay{}}
		for _, w := range p.Ways {
			y := jsonWay{w.Interface, int(w.Family), w.Address, words[w.Means], w.To, w.Who(), w.AllBut, append([]string{}, w.Sources...), w.KeepsOut, w.Undecided, nil}
			for _, d := range w.Doubts {
				y.Doubts = append(y.Doubts, jsonDoubt(d))
			}
			x.Ways = append(x.Ways, y)
		}
		out.Ports = append(out.Ports, x)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}
