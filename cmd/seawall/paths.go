package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seawall/seawall/compiler/emit"
)

// What a user may name, for messages about what cannot be read.
const (
	takesRules   = "Name a file that iptables-save printed, or - for standard input"
	takesSets    = "--ipset takes a file that ipset save printed"
	takesBase    = "--base takes a boot file, or the folder of the boot files"
	takesInspect = "--inspect takes a file that docker inspect printed, or - for standard input"
	takesCompose = "--compose takes a compose file"
	takesFmt     = "Each file has its old text or the new one"
	takesPolicy  = "Name a policy file, or a folder of them"
	takesEither  = "Name a policy, a rules file, or a folder of compiled files"
	takesPersist = "--persist takes the folder of the boot files"
	takesRunDir  = "--run-dir takes a folder, which is created if it is missing"
	takesDocs    = "docs takes a folder, which is created if it is missing"
	takesOutDir  = "--out-dir takes a folder, which is created if it is missing"
)

// cannotRead is the error for a file or folder that a user named, with what to name
// in its place.
func cannotRead(name string, err error, takes string) error {
	if isFolder(name) {
		return fmt.Errorf("%s is a folder, not a file. %s", oneLine(name), takes)
	}
	why := cause(err).Error()
	if file := fileOnTheWay(filepath.Dir(name)); file != "" {
		why = file + " is a file, not a folder"
	}
	return fmt.Errorf("cannot read %s: %s. %s", oneLine(name), why, takes)
}

// cannotWrite is the error for a folder that files cannot be written into.
func cannotWrite(dir string, err error, takes string) error {
	return badFolder("write into", dir, err, takes)
}

// badFolder is the error for a folder, which need not be there, that a user named for
// files and that cannot be used.
func badFolder(verb, dir string, err error, takes string) error {
	why, file := cause(err).Error(), fileOnTheWay(dir)
	at, named := errors.AsType[*fs.PathError](err)
	switch {
	case file == filepath.Clean(dir):
		why = "it is a file, not a folder"
	case file != "":
		why = file + " is a file, not a folder"
	case errors.Is(err, fs.ErrPermission):
		takes = "Name another folder, or run seawall as a user who may use this one"
	case isIrregular(err):
		takes = "Move it, or name another folder"
	case named && at.Path != dir && isFolder(at.Path):
		why, takes = at.Path+" is a folder, not a file", "Move it, or name another folder"
	case errors.Is(err, syscall.ENOSPC):
		takes = "Nothing there was changed. Free some space, or name another folder"
	}
	return fmt.Errorf("cannot %s %s: %s. %s", verb, oneLine(dir), why, takes)
}

func isIrregular(err error) bool {
	_, ok := errors.AsType[*emit.NotRegularError](err)
	return ok
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fileOnTheWay is the part of a path that would have to be a folder and is a file;
// "" where there is none.
func fileOnTheWay(path string) string {
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return at
		case err == nil || at == filepath.Dir(at):
			return ""
		}
	}
}

// cause is what the operating system said, without the call and the path.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	return err
}
