package page

import "strings"

// Style is the style sheet of every page: for pages that are not one file, and for the policy
// of a server that names what a page may load.
func Style() string {
	_, text, _ := strings.Cut(frameText, "<style>")
	text, _, _ = strings.Cut(text, "</style>")
	return text
}
