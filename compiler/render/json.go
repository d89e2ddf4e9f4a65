package render

import "encoding/json"

// JSON is the page for programs.
func (p *Page) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(p, "", "  ")
	return append(text, '\n'), err
}
