package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// form is how what is written is protected against the texts in it that others wrote:
// names, comments, lines of files.
type form int

const (
	// textForm shows control and format characters escaped, and breaks up what a CI
	// system would take for a command.
	textForm form = iota
	// commandForm is textForm for lines that are commands of a CI system themselves.
	commandForm
	// jsonForm escapes within strings.
	jsonForm
	// byteForm changes nothing: a compiled file, or a filter's output.
	byteForm
)

// standardOutput is standard output or standard error. All that a command writes passes through
// it, so nothing that came in goes out raw. It remembers that something could not be
// written: an answer that nobody got is no success.
type standardOutput struct {
	w      io.Writer
	form   form
	colour bool
	err    error
	part   []byte // the start of a character whose rest was not written yet
	middle bool   // the line has more than blanks already
	before func() // called before something is written
}

func newOutput(w io.Writer) *standardOutput {
	f, ok := w.(*os.File)
	colour := ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
	return &standardOutput{w: w, colour: colour}
}

// write says in which form a command writes its answer.
func write(c *cobra.Command, as form) io.Writer {
	w := c.OutOrStdout()
	if o, ok := w.(*standardOutput); ok {
		o.form = as
	}
	return w
}

// formatted is where an answer of a format goes.
func formatted(c *cobra.Command, format string) io.Writer {
	switch format {
	case "json", "sarif":
		return write(c, jsonForm)
	case "github":
		return write(c, commandForm)
	}
	return write(c, textForm)
}

func (o *standardOutput) Write(b []byte) (int, error) {
	if o.before != nil {
		o.before()
	}
	safe := b
	if o.form != byteForm {
		safe = o.safe(b)
	}
	if _, err := o.w.Write(safe); err != nil {
		err = cause(err)
		if o.err == nil {
			o.err = err
		}
		return 0, err
	}
	return len(b), nil
}

// paint writes a text in a colour, on a terminal that shows it.
func paint(w io.Writer, code, text string) {
	o, ok := w.(*standardOutput)
	if !ok || !o.colour {
		fmt.Fprint(w, text)
		return
	}
	_, _ = io.WriteString(o.w, "\x1b["+code+"m")
	fmt.Fprint(w, text)
	_, _ = io.WriteString(o.w, "\x1b[0m")
}

// coloured reports whether a writer shows colour: a terminal, and no NO_COLOR.
func coloured(w io.Writer) bool {
	o, ok := w.(*standardOutput)
	return ok && o.colour
}

// end writes what is left of a character that never became whole.
func (o *standardOutput) end() {
	if rest := o.part; len(rest) > 0 {
		o.part = nil
		for _, c := range rest {
			fmt.Fprintf(o.w, `\x%02x`, c)
		}
	}
}

// failure is the error for an answer that could not be written; nil for one that was. A
// reader that has seen enough, as head has, is no error.
func (o *standardOutput) failure() error {
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("cannot write to standard output: %w", o.err)
}

func (o *standardOutput) safe(b []byte) []byte {
	if len(o.part) > 0 {
		b = append(o.part, b...)
		o.part = nil
	}
	if n := unfinished(b); n > 0 {
		o.part = bytes.Clone(b[len(b)-n:])
		b = b[:len(b)-n]
	}
	b = escaped(b, o.form == jsonForm)
	if o.form == textForm {
		b = o.withoutCommands(b)
	}
	return b
}

// unfinished returns how many bytes at the end are the start of a character.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// hidden reports whether a character acts on a terminal or a page in place of being seen:
// controls, and what changes the direction or the place of other text. A line's end and a
// tab are not.
func hidden(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// escaped is a text with what is hidden in it shown: \x1b, \u202e. In JSON it is escaped
// as JSON does it, and the text means the same.
func escaped(b []byte, json bool) []byte {
	if harmless(b) {
		return b
	}
	var out bytes.Buffer
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1 && json:
			out.WriteRune(r)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, b[0])
		case !hidden(r):
			out.Write(b[:size])
		case json && r > 0xffff:
			const offset, half, low = 0x10000, 10, 0x3ff
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r-offset)>>half, 0xdc00+(r-offset)&low)
		case json:
			fmt.Fprintf(&out, `\u%04x`, r)
		case r == '\r':
			out.WriteString(`\r`)
		case r <= 0xff:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
		b = b[size:]
	}
	return out.Bytes()
}

// harmless reports whether a text is printable ASCII, lines and tabs, as nearly all are.
func harmless(b []byte) bool {
	for _, c := range b {
		if (c < ' ' && c != '\n' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

var (
	// GitHub takes a line that starts so for a command, blanks before it aside.
	lineCommand = regexp.MustCompile(`^[ \t]*::[A-Za-z-]+(?:::|[ \t].*::|$)`)
	// GitHub, Azure Pipelines and TeamCity take these for commands wherever they stand
	// in a line.
	anyCommand = regexp.MustCompile(`##[A-Za-z]*\[`)
)

// withoutCommands breaks up what a CI system would take for a command: a name with a
// line's end in it must not set a variable or hide an error.
func (o *standardOutput) withoutCommands(b []byte) []byte {
	if bytes.Contains(b, []byte("##")) {
		b = anyCommand.ReplaceAllFunc(b, func(m []byte) []byte { return append([]byte(`#\x23`), m[2:]...) })
	}
	if !bytes.Contains(b, []byte("::")) {
		o.follow(b)
		return b
	}
	var out []byte
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if !o.middle && lineCommand.Match(bytes.TrimSuffix(line, []byte("\n"))) {
			line = bytes.Replace(line, []byte(":"), []byte(`\x3a`), 1)
		}
		out = append(out, line...)
		o.follow(line)
	}
	return out
}

// follow keeps whether a line has begun.
func (o *standardOutput) follow(b []byte) {
	at := bytes.LastIndexByte(b, '\n')
	o.middle = o.middle && at < 0 || len(bytes.TrimLeft(b[at+1:], " \t")) > 0
}

// oneLine returns a name for use within a line: a newline in it is shown as \n.
func oneLine(name string) string {
	return strings.ReplaceAll(name, "\n", `\n`)
}

// longest is how long an error may be: more than all that Seawall says itself.
const longest = 10_000

// shortened cuts a text that is too long to be read.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
