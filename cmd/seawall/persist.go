package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/host"
)

// bootFile is a file that --persist writes.
type bootFile struct {
	dir string
	emit.File
}

// bootFiles makes what --persist writes, before anything is loaded.
func (a *applying) bootFiles(opt compiler.Options) ([]bootFile, error) {
	switch {
	case a.persist == "":
		return nil, nil
	case a.format == nftablesBackend:
		return a.tableFiles()
	}
	// Debian's netfilter-persistent has other names than RHEL's iptables-services.
	names := map[string]string{"iptables": "iptables", "ip6tables": "ip6tables", "ipset": "ipset"}
	if filepath.Base(filepath.Clean(a.persist)) == "iptables" {
		names = debianNames
	}
	if !isFolder(a.persist) {
		return nil, fmt.Errorf("--persist takes the folder of the boot files; %s is not a folder", a.persist)
	}
	opt.Format, opt.Force = emit.Sysconfig, a.force
	for name, base := range map[string]*[]byte{"iptables": &opt.Base4, "ip6tables": &opt.Base6} {
		path := filepath.Join(a.persist, names[name])
		text, err := readFile(path)
		switch {
		case err == nil:
			*base = bytes.Clone(text)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, cannotRead(path, err, takesPersist)
		}
	}
	out, err := compiler.Compile(a.c.Context(), a.doc, opt)
	if err != nil {
		return nil, fmt.Errorf("the boot files for --persist: %w", unproved(err))
	}
	var list []bootFile
	for _, f := range out.Files {
		f.Name = names[f.Name]
		list = append(list, bootFile{a.persist, f})
	}
	return list, nil
}

// tableFiles are the table itself, and, on a host with systemd, the unit that loads it at
// boot and after nftables.service has flushed the ruleset. Systemd's folder is the one
// beside the table's: /etc/systemd/system for /etc/seawall.
func (a *applying) tableFiles() ([]bootFile, error) {
	dir, err := filepath.Abs(a.persist)
	if err != nil {
		return nil, err
	}
	if !isFolder(filepath.Dir(dir)) {
		return nil, fmt.Errorf("--persist takes a folder such as /etc/seawall; %s is not a folder", filepath.Dir(dir))
	}
	files := []bootFile{{dir, a.fresh}}
	if units := filepath.Join(filepath.Dir(dir), "systemd", "system"); isFolder(units) {
		list := emit.Units(filepath.Join(dir, a.fresh.Name), host.NFTPath())
		files = append(files, bootFile{units, list[0]}, bootFile{filepath.Join(units, "nftables.service.d"), list[1]})
	}
	for _, f := range files {
		err := emit.CheckForeign(f.dir, []emit.File{f.File})
		if _, foreign := errors.AsType[*emit.ForeignError](err); foreign && !a.force {
			return nil, fmt.Errorf("--persist: %w. Move it away, or use --force to replace it", err)
		} else if err != nil && !foreign {
			return nil, cannotWrite(f.dir, err, takesPersist)
		}
	}
	return files, nil
}

// persistNow writes the boot files; those of one folder all, or none.
func (a *applying) persistNow() error {
	unit := false
	for rest := a.boot; len(rest) > 0; {
		dir, files := rest[0].dir, []emit.File(nil)
		for len(rest) > 0 && rest[0].dir == dir {
			unit = unit || rest[0].Name == emit.UnitName
			files, rest = append(files, rest[0].File), rest[1:]
		}
		written, err := emit.Write(dir, files)
		if err != nil {
			return fmt.Errorf("the policy is loaded, but the boot files were not written: %w", cannotWrite(dir, err, takesPersist))
		}
		for _, n := range written {
			fmt.Fprintf(a.w, "wrote %s\n", filepath.Join(dir, n))
		}
	}
	switch {
	case unit:
		fmt.Fprintf(a.w, "Once, so that it is loaded at every boot: systemctl daemon-reload && systemctl enable %s\n", emit.UnitName)
	case a.boot != nil && a.format == nftablesBackend:
		fmt.Fprintf(a.w, "There is no systemd beside it: load %s with nft -f at every boot, before Docker starts.\n", filepath.Join(a.boot[0].dir, a.fresh.Name))
	}
	return nil
}
