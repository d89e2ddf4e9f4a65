package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// Options are what a document depends on besides the policy files.
type Options struct {
	Vars     []string  // NAME=VALUE, as given by --var
	VarFiles []string  // paths, as given by --var-file
	Env      []string  // NAME=VALUE pairs; SEAWALL_VAR_* are read
	Stdin    io.Reader // read for the path "-"
	// FS holds the policy files, the list files and the variable files, by paths
	// with slashes; nil for the operating system's files.
	FS fs.FS
	// Unsaved are texts that count in place of files, by clean path: what an editor has not
	// saved yet. A policy file that is only here is one of its folder.
	Unsaved map[string][]byte
	// Lists keeps list files between loads; nil reads them each time.
	Lists *Lists
	// RegularOnly refuses files to which there is no end or for which one may wait, such as
	// pipes, also where they are named: for a server that must go on. A policy's folder may
	// not have them in any case.
	RegularOnly bool
	// AllowFiles lets a set read list files from anywhere, not only below the policy's
	// folder or its repository.
	AllowFiles bool
}

// Loaded is what Load returns: the document, and the bytes of every file that was
// read, for messages with source lines.
type Loaded struct {
	Document *Document // nil when there were errors
	Files    map[string]*hcl.File
	Inputs   []string // the policy files, in the order in which they were merged
}

// Load reads and checks the policy at path (a file, a folder, or "-"). The
// diagnostics contain every mistake that was found; if one of them is an error,
// there is no document.
func Load(path string, opt Options) (*Loaded, hcl.Diagnostics) {
	l := newLoader(opt)
	return l.load(l.read(path))
}

// Parse reads one policy file from its bytes, and checks it, as Load does. The
// name is shown in messages; list files are relative to it, and a name that ends
// in .json is read as HCL's JSON.
func Parse(name string, src []byte, opt Options) (*Loaded, hcl.Diagnostics) {
	l := newLoader(opt)
	return l.load(l.parse(name, src))
}

func newLoader(opt Options) *loader {
	return &loader{parser: hclparse.NewParser(), opt: opt, lists: map[string]*List{}, shared: opt.Lists}
}

// load makes the document of the files that were read.
func (l *loader) load(diags hcl.Diagnostics) (*Loaded, hcl.Diagnostics) {
	var doc *Document
	if !diags.HasErrors() {
		var more hcl.Diagnostics
		doc, more = l.document()
		diags = append(diags, more...)
	}
	loaded := &Loaded{Files: l.parser.Files(), Inputs: l.names}
	if !diags.HasErrors() {
		loaded.Document = doc
	}
	return loaded, inOrder(contentHints(diags))
}

// loader holds what one Load has read so far.
type loader struct {
	parser *hclparse.Parser
	opt    Options
	names  []string
	files  []*hcl.File
	lists  map[string]*List // list files by path: each is read once
	shared *Lists           // those of other loads of the policy too; nil without
	total  int              // bytes that were read
}

// IsPolicyFile reports whether a file of this name in a folder is part of its
// policy. Variable files are not.
func IsPolicyFile(name string) bool {
	if strings.HasSuffix(name, ".vars.hcl") || strings.HasPrefix(name, ".") {
		return false
	}
	return strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".hcl.json")
}

// PolicyFiles returns the policy files of a path in the order in which they are
// merged: the path itself, or a folder's files by name.
func PolicyFiles(path string) ([]string, error) { return policyFiles(Options{}, path) }

func policyFiles(opt Options, path string) ([]string, error) {
	if _, ok := opt.Unsaved[filepath.Clean(path)]; ok {
		return []string{path}, nil
	}
	fsys := opt.FS
	stat, readDir := os.Stat, os.ReadDir
	if fsys != nil {
		stat = func(p string) (fs.FileInfo, error) { return fs.Stat(fsys, inFS(p)) }
		readDir = func(p string) ([]fs.DirEntry, error) { return fs.ReadDir(fsys, inFS(p)) }
	}
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := readDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && IsPolicyFile(e.Name()) {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	for name := range opt.Unsaved {
		if filepath.Dir(name) == filepath.Clean(path) && IsPolicyFile(filepath.Base(name)) {
			names = append(names, filepath.Join(path, filepath.Base(name)))
		}
	}
	sort.Strings(names)
	return slices.Compact(names), nil
}

// inFS returns a path in the form that an fs.FS takes.
func inFS(path string) string { return filepath.ToSlash(filepath.Clean(path)) }

// ReadRegular reads a file that is a regular one, up to the limit of ReadLimited.
func ReadRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, errIrregular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadLimited(f)
}

var errIrregular = errors.New("it is not a regular file")

// readFile reads a file from the file system of the options; a regular one, if it was found
// in a folder.
func (l *loader) readFile(path string, found bool) ([]byte, error) {
	if src, ok := l.opt.Unsaved[filepath.Clean(path)]; ok {
		return l.limited(bytes.NewReader(src))
	}
	if (found || l.opt.RegularOnly) && l.opt.FS == nil {
		if info, err := os.Stat(path); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			return nil, errIrregular
		}
	}
	var f fs.File
	var err error
	if l.opt.FS != nil {
		f, err = l.opt.FS.Open(inFS(path))
	} else {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return l.limited(f)
}

// limited reads a file, unless all files together are too large.
func (l *loader) limited(f io.Reader) ([]byte, error) {
	src, err := ReadLimited(f)
	if l.total += len(src); err == nil && l.total > maxTotal {
		return nil, fmt.Errorf("all files together are larger than the limit of %d MiB", maxTotal>>20)
	}
	return src, err
}

// shown is a path in a message: it stays on one line.
func shown(path string) string { return strings.ReplaceAll(path, "\n", `\n`) }

func (l *loader) read(path string) hcl.Diagnostics {
	if path == "-" {
		if l.opt.Stdin == nil {
			return hcl.Diagnostics{failure("No standard input", "There is nothing to read a policy from.")}
		}
		src, err := l.limited(l.opt.Stdin)
		if err != nil {
			return hcl.Diagnostics{failure("Cannot read standard input", reason(err))}
		}
		name := "stdin"
		if bytes.HasPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("{")) {
			name = "stdin.json"
		}
		return l.parse(name, src)
	}
	names, err := policyFiles(l.opt, path)
	if err != nil {
		return hcl.Diagnostics{failure("Cannot read the policy",
			fmt.Sprintf("%s: %s. Give a policy file, or a folder of them.", shown(path), reason(err)))}
	}
	if len(names) == 0 {
		return hcl.Diagnostics{failure("No policy here",
			fmt.Sprintf("The folder %s has no policy file (*.hcl or *.hcl.json). seawall init writes a first one.", shown(path)))}
	}
	if len(names) > maxFiles {
		return hcl.Diagnostics{failure("Too many policy files", fmt.Sprintf("The folder %s has %d policy files; at most %d are read.", shown(path), len(names), maxFiles))}
	}
	var diags hcl.Diagnostics
	for _, name := range names {
		src, err := l.readFile(name, name != path)
		if err != nil {
			diags = append(diags, failure("Cannot read the policy", fmt.Sprintf("%s: %s.", shown(name), reason(err))))
			continue
		}
		diags = append(diags, l.parse(name, src)...)
	}
	return diags
}

func (l *loader) parse(name string, src []byte) hcl.Diagnostics {
	f, diags := l.parseFile(name, src)
	if f != nil {
		l.names = append(l.names, name)
		l.files = append(l.files, f)
	}
	return diags
}

// parseFile parses a policy file or a variable file.
func (l *loader) parseFile(name string, src []byte) (*hcl.File, hcl.Diagnostics) {
	json := strings.HasSuffix(name, ".json")
	if d := checkText(name, src, json); d != nil {
		if d.Subject != nil {
			l.parser.AddFile(name, &hcl.File{Bytes: src})
		}
		return nil, hcl.Diagnostics{d}
	}
	if json {
		return l.parser.ParseJSON(src, name)
	}
	f, diags := l.parser.ParseHCL(src, name)
	return f, syntaxHints(diags, src)
}

// reason returns an error of the operating system without the path and the name of
// the call: the message around it has them already.
func reason(err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "it is a folder, not a file"
	case errors.As(err, &pe):
		return pe.Err.Error()
	}
	return err.Error()
}

// failure is an error without a place in a file.
func failure(summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail}
}

// mistake is an error at a place.
func mistake(at hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at}
}

// inOrder sorts diagnostics by place, so that a reader goes through a file
// once; those without a place come first.
func inOrder(diags hcl.Diagnostics) hcl.Diagnostics {
	sort.SliceStable(diags, func(i, j int) bool {
		a, b := diags[i].Subject, diags[j].Subject
		switch {
		case a == nil || b == nil:
			return a == nil && b != nil
		case a.Filename != b.Filename:
			return a.Filename < b.Filename
		}
		return a.Start.Byte < b.Start.Byte
	})
	return diags
}

// text returns the text of a range within one line, "" where it is not known.
func (l *loader) text(r hcl.Range) string {
	f := l.parser.Files()[r.Filename]
	if f == nil || r.Start.Byte > r.End.Byte || r.End.Byte > len(f.Bytes) {
		return ""
	}
	return string(f.Bytes[r.Start.Byte:r.End.Byte])
}

// line returns the text of the line on which a range starts, without the space
// around it.
func (l *loader) line(r hcl.Range) string {
	f := l.parser.Files()[r.Filename]
	if f == nil || r.Start.Byte > len(f.Bytes) {
		return ""
	}
	start := bytes.LastIndexByte(f.Bytes[:r.Start.Byte], '\n') + 1
	text, _, _ := bytes.Cut(f.Bytes[start:], []byte("\n"))
	return strings.TrimSpace(string(text))
}
