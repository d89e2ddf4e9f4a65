package schema

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// maxListErrors is how many bad lines of one list file are shown: the wrong file
// should not cause a hundred thousand messages.
const maxListErrors = 20

// listFile reads a list of sources, one per line. White space around an entry,
// empty lines, and everything from a # on are ignored. The path is relative to
// the policy file that refers to it.
func (s *scope) listFile(path string, at hcl.Range) *List {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(at.Filename), path)
	}
	if list, ok := s.loader.lists[path]; ok {
		return list
	}
	kept := s.loader.shared
	if _, unsaved := s.loader.opt.Unsaved[filepath.Clean(path)]; unsaved || s.loader.opt.FS != nil && kept != nil && !kept.fixed {
		kept = nil // what it knows of changes is not about this text
	}
	x, err := kept.get(path, func() (*readList, error) {
		src, err := s.loader.readList(path, filepath.Dir(at.Filename))
		if err != nil {
			return nil, err
		}
		list, diags, secret := parseList(path, src)
		list.Read = new(Reading)
		if secret != nil {
			src = secret
		}
		return &readList{list: list, src: src, diags: diags}, nil
	})
	if outside, ok := errors.AsType[*outsideError](err); ok {
		s.add(mistake(at, "A list file outside the policy's folder", "%s is not below %s. A policy may only read list files in its repository or, outside a repository, in its own folder. Move the file there, or allow any file with --allow-files.", shown(path), shown(outside.top)))
		return nil
	}
	if err != nil {
		s.add(mistake(at, "Cannot read a list file", "%s: %s. The path is relative to the policy file.", shown(path), reason(err)))
		return nil
	}
	s.loader.parser.AddFile(path, &hcl.File{Bytes: x.src})
	s.add(x.diags...)
	s.loader.lists[path] = x.list
	return x.list
}

// outsideError is the error for a list file that a policy may not read.
type outsideError struct{ top string }

func (e *outsideError) Error() string { return "it is not below " + e.top }

// readList reads a list file of a policy in a folder. A policy may come from somebody
// else, so it can read only files that came with it.
func (l *loader) readList(path, dir string) ([]byte, error) {
	if _, unsaved := l.opt.Unsaved[filepath.Clean(path)]; unsaved || l.opt.FS != nil {
		return l.readFile(path, false) // which cannot leave its root
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, err
	}
	top := string(filepath.Separator)
	if volume := filepath.VolumeName(real); volume != "" {
		top = volume + top
	}
	if !l.opt.AllowFiles {
		if top, err = topOf(dir); err != nil {
			return nil, err
		}
	}
	inside, err := filepath.Rel(top, real)
	if err != nil || !filepath.IsLocal(inside) {
		return nil, &outsideError{top}
	}
	// What is opened is below the folder even when a link changes meanwhile.
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Stat(inside)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, errIrregular
	}
	f, err := root.Open(inside)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return l.limited(f)
}

// topOf returns the root of the repository that contains a folder (it has .git), or the
// folder itself.
func topOf(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return dir, nil
		}
	}
}

// ParseList reads the bytes of a list file. It works on the bytes directly: a
// line costs no HCL value and, for an IPv4 CIDR, no allocation.
func ParseList(path string, src []byte) (*List, hcl.Diagnostics) {
	list, diags, _ := parseList(path, src)
	return list, diags
}

// parseList is ParseList. A bad line that does not look like an address may come from a
// file that is not a list at all, and may be a secret. So it also returns the file with
// such lines blanked, for messages; nil for a file without mistakes.
func parseList(path string, src []byte) (*List, hcl.Diagnostics, []byte) {
	if d := notText(path, src); d != nil {
		return &List{File: path}, hcl.Diagnostics{d}, []byte{}
	}
	if list := inHalves(path, src); list != nil {
		return list, nil, nil
	}
	var secret []byte
	list := &List{File: path, lines: make([]line4, 0, bytes.Count(src, []byte("\n"))+1)}
	var diags hcl.Diagnostics
	bad := 0
	for line, offset := 1, 0; offset < len(src); line++ {
		end := len(src)
		if n := bytes.IndexByte(src[offset:], '\n'); n >= 0 {
			end = offset + n
		}
		entry, start := trimLine(src, offset, end)
		next := end + 1
		if len(entry) > 0 {
			span, ok := fastCIDR(entry)
			var p *problem
			if !ok {
				span, p = parseEntry(entry)
			}
			if p == nil {
				span.Line = line
				list.add(span)
			} else {
				detail := p.detail
				if secret == nil {
					secret = bytes.Clone(src)
				}
				if likeAddress(entry) {
					hide(secret[start+len(entry) : end]) // its comment
				} else {
					hide(secret[offset:end])
					detail = "This line is not an address, a CIDR or a range."
					if hostName.Match(entry) {
						detail += namesHint
					}
				}
				if bad++; bad <= maxListErrors {
					diags = append(diags, mistake(lineRange(path, line, offset, start, len(entry)), p.summary, "%s", detail))
				}
			}
		}
		offset = next
	}
	if bad > maxListErrors {
		diags = append(diags, failure("More bad lines",
			fmt.Sprintf("%s has %d bad lines; the first %d are shown.", shown(path), bad, maxListErrors)))
	}
	return list, diags, secret
}

// inHalves reads the two halves of a long list at once. It returns nil for a short one, and
// for one with mistakes, which are for one reader to count and to show.
func inHalves(path string, src []byte) *List {
	const long = 1 << 20
	middle := len(src)/2 + bytes.IndexByte(src[len(src)/2:], '\n') + 1
	if len(src) < long || middle == len(src)/2 {
		return nil
	}
	lower, upper, second := src[:middle], src[middle:], make(chan *List)
	lines, more := bytes.Count(lower, []byte("\n")), bytes.Count(upper, []byte("\n"))+1
	go func() {
		list := &List{lines: make([]line4, 0, more)}
		if !list.read(upper, lines) {
			list = nil
		}
		second <- list
	}()
	list := &List{File: path, lines: make([]line4, 0, lines+more)}
	right := list.read(lower, 0)
	rest := <-second
	if !right || rest == nil {
		return nil
	}
	list.join(rest)
	return list
}

// read adds the lines of a text that comes after so many others. It returns false for a
// text with a mistake.
func (l *List) read(text []byte, line int) bool {
	for src := range bytes.Lines(text) {
		line++
		entry, _ := trimLine(src, 0, len(bytes.TrimSuffix(src, []byte("\n"))))
		if len(entry) == 0 {
			continue
		}
		span, ok := fastCIDR(entry)
		if !ok {
			var p *problem
			if span, p = parseEntry(entry); p != nil {
				return false
			}
		}
		span.Line = line
		l.add(span)
	}
	return true
}

// likeAddress reports whether an entry is probably a mistyped address: short, and made of
// an address's characters.
func likeAddress(entry []byte) bool {
	const longest = 87 // a range of two IPv6 addresses with masks
	for _, c := range entry {
		if !bytes.ContainsRune([]byte("0123456789abcdefABCDEF.:/-*, "), rune(c)) {
			return false
		}
	}
	return len(entry) <= longest && bytes.ContainsAny(entry, ".:")
}

// hide blanks a line.
func hide(line []byte) {
	for i := range line {
		line[i] = ' '
	}
}

// trimLine removes a line's comment and white space, and returns where the rest starts.
func trimLine(src []byte, offset, end int) ([]byte, int) {
	line := src[offset:end]
	if n := bytes.IndexByte(line, '#'); n >= 0 {
		line = line[:n]
	}
	trimmed := bytes.TrimLeft(line, " \t\r\ufeff")
	start := offset + len(line) - len(trimmed)
	return bytes.TrimRight(trimmed, " \t\r"), start
}

func parseEntry(entry []byte) (Span, *problem) {
	if !utf8.Valid(entry) {
		return Span{}, &problem{"Not a source", "The line is not UTF-8 text."}
	}
	return parseSpan(string(entry))
}

// fastCIDR reads the most common line, an IPv4 address or CIDR without host bits,
// and leaves every other line, wrong ones included, to parseEntry.
func fastCIDR(b []byte) (Span, bool) {
	var octets [4]byte
	i := 0
	for n := range octets {
		if n > 0 {
			if i >= len(b) || b[i] != '.' {
				return Span{}, false
			}
			i++
		}
		v, width := digits(b[i:], 3)
		if width == 0 || v > 255 {
			return Span{}, false
		}
		octets[n], i = byte(v), i+width
	}
	bits := 32
	if i < len(b) {
		if b[i] != '/' {
			return Span{}, false
		}
		v, width := digits(b[i+1:], 2)
		if width == 0 || v > 32 || i+1+width != len(b) {
			return Span{}, false
		}
		bits = v
	}
	return spanOf4(octets, bits)
}

// digits reads a number of at most max digits without a leading zero.
func digits(b []byte, max int) (value, width int) {
	for width < len(b) && width < max && b[width] >= '0' && b[width] <= '9' {
		value = value*10 + int(b[width]-'0')
		width++
	}
	if width > 1 && b[0] == '0' {
		return 0, 0
	}
	return value, width
}
