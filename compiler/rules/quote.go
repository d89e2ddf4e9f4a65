package rules

import "strings"

// plain are the characters that iptables-save prints without quotes
// (libxtables, xtables_save_string).
const plain = "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Quote writes a free text (a comment, a log prefix) as iptables-save does:
// bare when it is only letters, digits, "_" and "-", else in double quotes
// with a backslash before each quote and backslash.
func Quote(text string) string {
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"', '\\', '\'':
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
	b.WriteByte('"')
	return b.String()
}

// freeText are the options whose one value is a text that a person wrote: it may
// look like an option, and is none.
var freeText = map[string]bool{"--comment": true, "--log-prefix": true, "--nflog-prefix": true, "--string": true, "--hex-string": true}

// word is one word of a line, and whether it was quoted: a quoted "-j" is text
// and never an option.
type word struct {
	text   string
	quoted bool
}

// split cuts a line into words as iptables-restore does
// (iptables/xshared.c, add_param_to_argv): blanks separate, a double quote
// opens and closes, a backslash inside quotes keeps the next character.
func split(line string) []word {
	var words []word
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		end := i
		for end < len(line) && line[end] != ' ' && line[end] != '\t' && line[end] != '"' {
			end++
		}
		if end == len(line) || line[end] != '"' {
			words = append(words, word{text: line[i:end]})
			i = end
			continue
		}
		var w word
		w, i = quoted(line, i)
		words = append(words, w)
	}
	return words
}

// quoted reads a word that has a quote in it. The closing quote ends the word,
// whatever follows.
func quoted(line string, i int) (word, int) {
	var b strings.Builder
	inside := false
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && inside && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == '"' && inside:
			return word{b.String(), true}, i + 1
		case c == '"':
			inside = true
		default:
			b.WriteByte(c)
		}
	}
	return word{b.String(), true}, i
}
