package playground

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/explain"
	"github.com/seawall/seawall/compiler/lower"
	"github.com/seawall/seawall/schema"
)

// Request is what the page asks about a policy.
type Request struct {
	Policy Policy  `json:"policy"`
	Format string  `json:"format"` // of emit.Formats; the default where it is empty
	Layout string  `json:"layout"` // of Layouts; auto where it is empty
	Render bool    `json:"render"` // who reaches what is wanted as well
	Before *Policy `json:"before"` // the policy to compare with; nil for none
	// Explain is the packet to trace; nil for none.
	Explain *Packet `json:"explain"`
}

// Policy is a folder in memory: policy files, list files and variable files.
type Policy struct {
	Files    map[string]string `json:"files"` // by path
	VarFiles []string          `json:"var_files"`
}

// Packet is a packet as explain takes it.
type Packet struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Chain string `json:"chain"` // forward, or input; forward where it is empty
}

// Layouts are the layouts that a format has; the first is the default.
func Layouts(f *emit.Format) []string {
	list := []string{string(lower.Auto)}
	for _, l := range lower.Layouts {
		if !f.NFT && l != lower.Auto && (l != lower.IPSet || !f.NoSets) {
			list = append(list, string(l))
		}
	}
	return list
}

// format is the format of the request, which has its layout.
func (r *Request) format() (*emit.Format, error) {
	f := emit.Formats()[0]
	if r.Format != "" {
		f = emit.ByName(r.Format)
	}
	switch {
	case f == nil:
		return nil, fmt.Errorf("the format is %s, not %q", emit.NamesInWords(), r.Format)
	case r.Layout != "" && !slices.Contains(Layouts(f), r.Layout):
		return nil, fmt.Errorf("the format %s has no layout %q", f.Name, r.Layout)
	}
	return f, nil
}

// nothing is a file system without files: all that a policy may read is in the request. What
// is missing is said in the words of the commands.
type nothing struct{ embed.FS }

func (n nothing) Open(name string) (fs.File, error) {
	f, err := n.FS.Open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: missing{}}
	}
	return f, nil
}

type missing struct{}

func (missing) Error() string        { return "no such file or directory" }
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// load reads the policy of a folder in memory.
func (p *Policy) load() (*schema.Loaded, hcl.Diagnostics) {
	opt := schema.Options{FS: nothing{}, VarFiles: p.VarFiles, Unsaved: map[string][]byte{}}
	for name, text := range p.Files {
		opt.Unsaved[path.Clean(name)] = []byte(text)
	}
	return schema.Load(".", opt)
}

// answer is what explain says of the packet.
func (p *Packet) answer(ctx context.Context, loaded *schema.Loaded) *Text {
	q := explain.NewQuestion()
	q.From, q.To = p.From, p.To
	if p.Chain != "" {
		q.Chain = p.Chain
	}
	packet, err := q.Packet(loaded.Document)
	if err != nil {
		return &Text{Failure: err.Error()}
	}
	e, err := explain.Trace(ctx, loaded, packet)
	if err != nil {
		return &Text{Failure: err.Error()}
	}
	return &Text{Text: e.Text(loaded.Files), Note: q.Note}
}
