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
	"github.com/seawall/seawall/compiler/system"
	"github.com/seawall/seawall/schema"
)

// bootFile is a file that --persist writes.
type bootFile struct {
	dir string
	emit.File
}

// auto is the value of --persist that stands for the folder of this host's system.
const auto = "auto"

// bootFiles makes what --persist writes, before anything is loaded.
func (a *applying) bootFiles(loaded *schema.Loaded, opt compiler.Options) ([]bootFile, error) {
	switch {
	case a.persist == "":
		return nil, nil
	case a.format == nftablesBackend:
		if a.persist == auto {
			if thisSystem(true) == system.NixOS {
				return nil, errors.New("NixOS makes /etc from its configuration, so nothing else can write there. seawall compile --for nixos writes a module for it")
			}
			a.persist = system.NFTables.Folder
		}
		return a.tableFiles()
	}
	target, err := a.persistTarget()
	if err != nil {
		return nil, err
	}
	loader := target.Format
	if target.Names[emit.Sysconfig.Names[0]] == debianNames[emit.Sysconfig.Names[0]] {
		loader = emit.Persistent // whose reload would end the bans
	}
	if err := fits(a.c, loaded, loader); err != nil {
		return nil, err
	}
	files, err := a.bootFilesOf(target, opt)
	if err == nil && a.system != nil && a.system.Format.Reloads && isFolder(system.PluginFolder) {
		files = append(files, bootFile{system.PluginFolder, emit.PersistentPlugin()})
	}
	return files, err
}

// bootFilesOf makes the boot files of a system, spliced into those of the folder.
func (a *applying) bootFilesOf(target *system.System, opt compiler.Options) ([]bootFile, error) {
	if !isFolder(a.persist) {
		return nil, fmt.Errorf("--persist takes the folder of the boot files, or auto; %s is not a folder", a.persist)
	}
	opt.Format, opt.Force = target.Format, a.force
	bases := []*[]byte{&opt.Base4, &opt.Base6, &opt.BaseHook}
	for i, name := range []string{opt.Format.Names[0], opt.Format.Names[1], opt.Format.Hook} {
		if name == "" {
			continue
		}
		path := filepath.Join(a.persist, target.FileName(name))
		text, err := readFile(path)
		switch {
		case err == nil:
			*bases[i] = bytes.Clone(text)
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
		f.Name = target.FileName(f.Name)
		list = append(list, bootFile{a.persist, f})
	}
	if target.Boot != nil {
		for _, f := range target.Boot() {
			list = append(list, bootFile{a.persist, f})
		}
	}
	return list, nil
}

// persistTarget returns the format and the names of the boot files: those of the system
// of this host, or those of the folder, whose name says whether it is RHEL's
// iptables-services or Debian's netfilter-persistent that loads them.
func (a *applying) persistTarget() (*system.System, error) {
	if a.persist != auto {
		target := &system.System{Format: emit.Sysconfig}
		if filepath.Base(filepath.Clean(a.persist)) == "iptables" {
			target.Names = debianNames
		}
		return target, nil
	}
	s := thisSystem(false)
	if err := loadsChains(s); err != nil {
		return nil, err
	}
	a.persist, a.system = s.Folder, s
	return s, nil
}

// loadsChains returns an error for a system that loads no rules of iptables at boot.
func loadsChains(s *system.System) error {
	if !s.Format.NFT {
		return nil
	}
	return fmt.Errorf("this is %s, where nothing loads rules of iptables at boot. Use --format nftables --persist %s, or name a folder", s.Title, auto)
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

// saySwitchOn prints the commands without which the system does not load the files, or
// does harm with them. Those of netfilter-persistent are in its defaults, which can be
// read.
func (a *applying) saySwitchOn() {
	if a.system == nil || len(a.boot) == 0 {
		return
	}
	if p := host.Persistent(); a.system.Format.Reloads && p != nil && len(p.Flushes()) == 0 {
		return
	}
	fmt.Fprintf(a.w, "Once per host, or the files do not hold on %s:\n", a.system.Title)
	for _, line := range a.system.SwitchOn {
		fmt.Fprintf(a.w, "  %s\n", line)
	}
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
	a.saySwitchOn()
	switch {
	case unit:
		fmt.Fprintf(a.w, "Once, so that it is loaded at every boot: systemctl daemon-reload && systemctl enable %s\n", emit.UnitName)
	case a.boot != nil && a.format == nftablesBackend:
		fmt.Fprintf(a.w, "There is no systemd beside it: load %s with nft -f at every boot, before Docker starts.\n", filepath.Join(a.boot[0].dir, a.fresh.Name))
	}
	return nil
}
