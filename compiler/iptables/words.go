package iptables

import "strings"

// The limits of iptables-restore's line reader (xshared.h, xtables-restore.c).
const (
	maxLine  = 10238 // bytes of a line without its newline
	maxWord  = 1023  // bytes of a word
	maxWords = 250   // words of a line, without the program and the table
)

// Words splits a rule's text into words as iptables-restore does. The error says
// what iptables-restore would refuse.
func Words(text string) ([]string, error) { return split(text, false) }

// Join joins words into a line for iptables-restore.
func Join(words []string) string { return join(words) }

// split splits a line into words as iptables-restore does (xshared.c,
// add_param_to_argv): blanks separate words; a double quote opens a quotation, and
// the next one closes it and ends the word; a backslash inside quotes keeps the
// next character. An unclosed quotation extends to the end of the line. The error
// says what iptables-restore would refuse.
func split(line string, ended bool) ([]string, error) {
	if ended {
		line += "\n"
	}
	var words []string
	for i := 0; i < len(line); {
		if isBlank(line[i]) {
			i++
			continue
		}
		end := i
		for end < len(line) && !isBlank(line[end]) && line[end] != '"' {
			end++
		}
		w := line[i:end]
		i = end
		if end < len(line) && line[end] == '"' {
			w, i = quoted(line, i, w)
		}
		if len(w) > maxWord {
			return nil, refused("the line has a word of %d bytes; iptables-restore accepts at most %d", len(w), maxWord)
		}
		words = append(words, w)
	}
	if len(words) > maxWords {
		return nil, refused("the line has %d words; iptables-restore accepts at most %d", len(words), maxWords)
	}
	return words, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// quoted continues a word at a quote. The closing quote ends the word, whatever
// follows; without one, the word extends to the end of the line.
func quoted(line string, i int, start string) (string, int) {
	var b strings.Builder
	b.WriteString(start)
	for i++; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c == '\\':
		case c == '"':
			return b.String(), i + 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), i
}

// plain is the set of characters that iptables-save prints without quotes
// (libxtables, xtables_save_string).
const plain = "_-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Quote writes free text (a comment, a log prefix) as iptables-save does: bare if
// it consists only of letters, digits, "_" and "-", otherwise in double quotes with
// a backslash before each quote and backslash.
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

// quoteWord writes a word so that split reads it back: bare where possible.
func quoteWord(w string) string {
	if w == "" || strings.ContainsAny(w, " \t\n\"\\") {
		return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(w) + `"`
	}
	return w
}

// join joins words into a line.
func join(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = quoteWord(w)
	}
	return strings.Join(list, " ")
}
