package editor

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
)

// Policy is a policy as its files stand at one moment. Its methods may be called from
// several goroutines.
type Policy struct {
	Loaded *schema.Loaded
	// Mistakes are those of every file.
	Mistakes hcl.Diagnostics

	options schema.Options
	trees   map[string]*tree // by policy file
	names   *names

	findings func() []lint.Finding
	reaches  reaches
}

// Read reads a policy, a file or a folder. It never fails: what cannot be read is among the
// mistakes.
func Read(path string, opt schema.Options) *Policy {
	p := &Policy{options: opt, trees: map[string]*tree{}}
	p.Loaded, p.Mistakes = schema.Load(path, opt)
	for _, name := range p.Loaded.Inputs {
		if f := p.Loaded.Files[name]; f != nil && f.Body != nil {
			p.trees[name] = treeOf(f)
		}
	}
	p.names = namesOf(p)
	p.findings = sync.OnceValue(func() []lint.Finding {
		if p.Loaded.Document == nil {
			return nil
		}
		return lint.Run(p.Loaded.Document, p.Loaded.Files)
	})
	return p
}

// Findings are what is most likely unintended, of a policy without mistakes. They are worked
// out once, when somebody asks.
func (p *Policy) Findings() []lint.Finding { return p.findings() }

// Text is the text of one of the policy's files, its list files and variable files included.
func (p *Policy) Text(file string) ([]byte, bool) {
	if f := p.Loaded.Files[file]; f != nil {
		return f.Bytes, true
	}
	src, ok := p.options.Unsaved[file]
	return src, ok
}

// TextOf is Text, or the text of another file on the disk.
func (p *Policy) TextOf(file string) ([]byte, bool) {
	if src, ok := p.Text(file); ok {
		return src, true
	}
	src, err := schema.ReadRegular(file)
	return src, err == nil
}

// Has reports whether a file is one of the policy's own.
func (p *Policy) Has(file string) bool { return p.trees[file] != nil }

// PathOf returns the policy that a file belongs to: its folder, or the file alone where it
// and another file of the folder both have a host block, for a policy has one. Unsaved texts
// are those of the options.
func PathOf(file string, opt schema.Options) string {
	dir := filepath.Dir(file)
	if !schema.IsPolicyFile(filepath.Base(file)) {
		return dir
	}
	files, _ := schema.PolicyFiles(dir) // a folder that is only in the editor has none
	for name := range opt.Unsaved {
		if filepath.Dir(name) == dir && schema.IsPolicyFile(filepath.Base(name)) && !slices.Contains(files, name) {
			files = append(files, name)
		}
	}
	if len(files) < 2 || !hasHost(file, opt) {
		return dir
	}
	if slices.ContainsFunc(files, func(name string) bool { return name != file && hasHost(name, opt) }) {
		return file
	}
	return dir
}

var (
	hostBlock = regexp.MustCompile(`(?m)^[ \t]*host[ \t]*\{`)
	hostKey   = regexp.MustCompile(`"host"\s*:`)
)

// hasHost reports whether a file has a host block. Its text need not parse.
func hasHost(name string, opt schema.Options) bool {
	src, ok := opt.Unsaved[name]
	if !ok {
		src, _ = schema.ReadRegular(name) // one that cannot be read has none
	}
	if strings.HasSuffix(name, ".json") {
		return hostKey.Match(src)
	}
	return hostBlock.Match(src)
}

// IsForeign reports whether all of these files are HCL of some other program, and so the
// policy is none: they have blocks or attributes, and no block is one that only Seawall has.
func (p *Policy) IsForeign(files []string) bool {
	for _, file := range files {
		if t := p.trees[file]; t == nil || !t.isForeign() {
			return false
		}
	}
	return len(files) > 0
}

func (t *tree) isForeign() bool {
	if strings.HasSuffix(t.file, ".json") {
		return false
	}
	known := slices.ContainsFunc(t.root.blocks, func(b *block) bool {
		top := blockOf(b.kind)
		return top != nil && top.In == "" && b.iterator == "" && b.kind != "variable" && b.kind != "locals" // which nearly every program has
	})
	return !known && len(t.root.blocks)+len(t.root.attributes) > 0
}

// blockOf is a block of the language's table, nil for another word.
func blockOf(name string) *schema.Block {
	for i := range schema.Language {
		if schema.Language[i].Name == name {
			return &schema.Language[i]
		}
	}
	return nil
}

// attributeOf is an attribute of the language's table.
func attributeOf(block, name string) *schema.Attribute {
	b := blockOf(block)
	if b == nil {
		return nil
	}
	for i := range b.Attributes {
		if b.Attributes[i].Name == name {
			return &b.Attributes[i]
		}
	}
	return nil
}
