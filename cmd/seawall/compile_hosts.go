package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// indexName is the file in the folder of all hosts that says what each has.
const indexName = "hosts.json"

// hostIndex is that file.
type hostIndex struct {
	Hosts map[string]indexedHost `json:"hosts"`
}

type indexedHost struct {
	Variables string            `json:"variables"`
	Files     map[string]string `json:"files"` // by name, "sha256:" and the digest
}

// compiled are a host's files, and those that changed.
type compiled struct {
	files   map[string]string
	changed []string // paths
}

// runHosts compiles the policy for each host into a folder of its own.
func (f *compileFlags) runHosts(c *cobra.Command, args []string) error {
	switch {
	case f.outDir == "":
		return errors.New("--hosts writes a folder for each host: name the folder of all with --out-dir")
	case f.base != "":
		return errors.New("--base has the files of one host. Leave it out with --hosts, or compile for one host with --var-file")
	}
	hosts, err := hostsOf(f.hosts)
	if err != nil {
		return err
	}
	list, memory := make([]compiled, len(hosts)), compiler.NewMemory()
	var disk sync.Mutex // several at a time only get into each other's way
	var batch emit.Batch
	all := f.eachHost(c, args, hosts, func(ctx context.Context, i int, loaded *schema.Loaded) error {
		files, err := f.filesOf(ctx, loaded, memory)
		if err != nil {
			return err
		}
		dir := filepath.Join(f.outDir, hosts[i].name)
		sums := digests(files)
		disk.Lock()
		defer disk.Unlock()
		names, err := f.put(dir, files, &batch)
		list[i] = compiled{sums, inFolder(dir, names)}
		if err == nil && batch.Len() >= atOnce {
			err = f.flush(&batch)
		}
		return err
	})
	if err := f.flush(&batch); err != nil {
		return err
	}
	if err := tell(c, hosts, all); err != nil {
		return err
	}
	return f.sayHosts(c, hosts, list)
}

// atOnce is how many files take their places together.
const atOnce = 256

func (f *compileFlags) flush(batch *emit.Batch) error {
	if err := batch.Flush(); err != nil {
		return cannotWrite(f.outDir, err, takesOutDir)
	}
	return nil
}

// filesOf compiles the policy of one host.
func (f *compileFlags) filesOf(ctx context.Context, loaded *schema.Loaded, memory *compiler.Memory) ([]emit.File, error) {
	opt := f.compilerOptions(loaded)
	opt.Memory = memory
	if err := compiler.Fits(loaded.Document, opt.Format); err != nil {
		return nil, err
	}
	out, err := compiler.Compile(ctx, loaded.Document, opt)
	if err != nil {
		return nil, f.unproved(err)
	}
	f.asLoaded(out)
	return out.Files, nil
}

// digests are the files of one host, as the index has them.
func digests(files []emit.File) map[string]string {
	list := map[string]string{}
	for _, file := range files {
		list[file.Name] = fmt.Sprintf("sha256:%x", sha256.Sum256(file.Bytes))
	}
	return list
}

// sayHosts writes the index, and says what was written or would change.
func (f *compileFlags) sayHosts(c *cobra.Command, hosts []fleetHost, list []compiled) error {
	index, changed := hostIndex{Hosts: map[string]indexedHost{}}, []string{}
	for i, h := range hosts {
		index.Hosts[h.name] = indexedHost{Variables: filepath.Base(h.file), Files: list[i].files}
		changed = append(changed, list[i].changed...)
	}
	path := filepath.Join(f.outDir, indexName)
	old, _ := os.ReadFile(path) // without one it is written
	f.sayGone(c, index, old)
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	if text = append(text, '\n'); !bytes.Equal(old, text) {
		changed = append(changed, path)
		if !f.check {
			if err := emit.Replace(path, text, 0o644); err != nil {
				return cannotWrite(path, err, takesOutDir)
			}
		}
	}
	return f.sayChanged(c, hosts, changed)
}

// sayGone names folders of hosts that have no variable file any more.
func (f *compileFlags) sayGone(c *cobra.Command, index hostIndex, before []byte) {
	var old hostIndex
	if json.Unmarshal(before, &old) != nil {
		return // there is none
	}
	var gone []string
	for name := range old.Hosts {
		if _, is := index.Hosts[name]; !is && isFolder(filepath.Join(f.outDir, name)) {
			gone = append(gone, filepath.Join(f.outDir, name))
		}
	}
	slices.Sort(gone)
	for _, dir := range gone {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s belongs to a host that has no variable file in %s any more. Delete it if the host is gone.\n", dir, f.hosts)
	}
}

// mostPaths is how many paths are listed of files that were written.
const mostPaths = 20

func (f *compileFlags) sayChanged(c *cobra.Command, hosts []fleetHost, changed []string) error {
	if f.check {
		return wouldChange(c, changed)
	}
	w := c.OutOrStdout()
	if len(changed) <= mostPaths {
		for _, path := range changed {
			fmt.Fprintf(w, "wrote %s\n", path)
		}
	}
	fmt.Fprintf(w, "%s: %s written to %s\n", count(len(hosts), "host", "hosts"), count(len(changed), "file", "files"), f.outDir)
	if s := system.ByName(f.system); s != nil {
		e := c.ErrOrStderr()
		fmt.Fprintf(e, "\nOn %s, as root, with the files of its folder in %s:\n", s.Title, s.Folder)
		for _, line := range s.SwitchOn {
			fmt.Fprintf(e, "  %s\n", line)
		}
		fmt.Fprintf(e, "Note: %s\n", s.Trap)
	}
	return nil
}
