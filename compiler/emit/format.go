package emit

import (
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/packet"
)

// Format is one of the ways to put rules on a host. Each has a file of its own,
// which says all there is to know of it; nothing else refers to a format except by its
// value. So a new one is one file.
type Format struct {
	Name    string // of --format
	Summary string // for the help of compile: its files, and what loads them
	Order   int    // among the formats; the first is the default
	// Files are the files of the format, IPv4 before IPv6.
	Files func(*Chains) []File
	// Splice splices the rules of a family into a file that is there; nil where the files
	// leave alone what is there. Names are the files' names, IPv4's first.
	Splice func(base []byte, c *Chains, f packet.Family) (File, []string, error)
	Names  [2]string
	// Hook is the name of a program of the host that calls the rules, "" for none, and
	// SpliceHook splices into it.
	Hook       string
	SpliceHook func(base []byte, c *Chains) (File, error)
	// Loaded is what the kernel holds once a file is loaded that is a part of something
	// larger: it is proved beside the file itself. Nil where the file is all there is.
	Loaded func(c *Chains, text []byte, f packet.Family) []byte
	// Reloads says that the files are also loaded with --noflush, while Docker runs.
	Reloads bool
	// NoSets says that nothing loads ipsets before the files.
	NoSets bool
	// WithSets reports whether the files bring their ipsets along; those of other formats
	// are a file beside them.
	WithSets bool
	// NFT says that the rules are a table of nftables, not chains of iptables.
	NFT bool
	// SwitchOn are the commands that a host needs beside the files, once after
	// every boot; nil for none.
	SwitchOn func(*Chains, packet.Family) []string
	// SwitchOnWhy introduces those commands.
	SwitchOnWhy string
}

var formats []*Format

// register adds a format; the variable of its own file calls it.
func register(f Format) *Format {
	p := &f
	formats = append(formats, p)
	slices.SortFunc(formats, func(a, b *Format) int { return a.Order - b.Order })
	return p
}

// Formats are all formats, the default first.
func Formats() []*Format { return formats }

// ByName returns the format of a name, or nil.
func ByName(name string) *Format {
	i := slices.IndexFunc(formats, func(f *Format) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return formats[i]
}

// Names are the names of all formats, the default first.
func Names() []string {
	var list []string
	for _, f := range formats {
		list = append(list, f.Name)
	}
	return list
}

// NamesInWords is Names for a sentence: "a, b or c".
func NamesInWords() string {
	list := Names()
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// Compile returns the files of the format, with the sets that their rules match.
func (f *Format) Compile(c *Chains) []File {
	files := f.Files(c)
	if f.WithSets {
		return files
	}
	if text := setsToBoot(c); text != nil {
		files = append(files, File{Name: SetsFile, Bytes: text, Sets: true})
	}
	return files
}

// perFamily is two files of rules, one for each family.
func perFamily(c *Chains, v4, v6 string, write func(*Chains, packet.Family) []byte) []File {
	return []File{
		{Name: v4, Bytes: write(c, packet.IPv4), Families: []packet.Family{packet.IPv4}},
		{Name: v6, Bytes: write(c, packet.IPv6), Families: []packet.Family{packet.IPv6}}}
}
