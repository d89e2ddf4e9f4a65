package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/spf13/cobra"
)

// gitSides reads a path as it is at a revision, and as it is now. Variable files
// that are part of the repository are read from the revision too.
func (f *diffFlags) gitSides(c *cobra.Command, path string) (before, after *diffSide, err error) {
	if path == "-" {
		return nil, nil, fmt.Errorf("--git needs a path, and standard input has no revision")
	}
	top, inside, err := gitPlace(path)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "seawall-diff")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := gitExtract(top, f.git, dir); err != nil {
		return nil, nil, err
	}
	old, err := f.gitOld(c, top, dir, inside)
	if err != nil {
		return nil, nil, err
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		after, err = f.side(c, path, f.varFiles)
		if err != nil {
			return nil, nil, err
		}
	case old == "":
		return nil, nil, cannotRead(path, err, takesEither)
	default:
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s is gone; what was there is compared with no rules.\n", path)
		after = noRules()
	}
	if old == "" {
		return noRules(), after, nil
	}
	varFiles, err := f.gitVarFiles(c, top, dir)
	if err != nil {
		return nil, nil, err
	}
	before, err = f.oldSide(c, dir, old, varFiles)
	return before, after, err
}

// gitOld is the path in the folder of a revision's files, where it had the same name or
// was renamed since; "" where the revision has none.
func (f *diffFlags) gitOld(c *cobra.Command, top, dir, inside string) (string, error) {
	if old := filepath.Join(dir, inside); fileExists(old) {
		return old, nil
	}
	name, err := gitRenamed(top, f.git, filepath.ToSlash(inside))
	if err != nil {
		return "", err
	}
	if name == "" {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s has no %s; no rules are compared with what is there now.\n", f.git, inside)
		return "", nil
	}
	fmt.Fprintf(c.ErrOrStderr(), "Note: %s has it as %s.\n", f.git, name)
	return filepath.Join(dir, filepath.FromSlash(name)), nil
}

// gitVarFiles are the variable files of the flags as they were at a revision.
func (f *diffFlags) gitVarFiles(c *cobra.Command, top, dir string) ([]string, error) {
	var list []string
	for _, v := range f.varFiles {
		then, err := f.gitThen(c, top, dir, v, false)
		if err != nil {
			return nil, err
		}
		list = append(list, then)
	}
	return list, nil
}

// gitThen is a path as it was at a revision, whose files are in a folder, also where it had
// another name. One that the revision has not is "" if it may be missing, or else used as
// it is now, which is said; so is one of another repository, or of none.
func (f *diffFlags) gitThen(c *cobra.Command, top, dir, path string, mayMiss bool) (string, error) {
	t, inside, err := gitPlace(path)
	if err != nil || t != top {
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s is not in the repository; both sides have it as it is now.\n", path)
		return path, nil
	}
	if then := filepath.Join(dir, inside); fileExists(then) {
		return then, nil
	}
	name, err := gitRenamed(top, f.git, filepath.ToSlash(inside))
	if err != nil {
		return "", err
	}
	switch {
	case name != "":
		fmt.Fprintf(c.ErrOrStderr(), "Note: %s has %s as %s.\n", f.git, inside, name)
		return filepath.Join(dir, filepath.FromSlash(name)), nil
	case mayMiss:
		return "", nil // each host is new, which is said
	}
	fmt.Fprintf(c.ErrOrStderr(), "Note: %s has no %s; both sides have it as it is now.\n", f.git, inside)
	return path, nil
}

// gitRenamed is the name that a file or a folder had at a revision, as git finds renames;
// "" where it finds none, or files of a folder come from several.
func gitRenamed(top, revision, inside string) (string, error) {
	out, err := git(top, "diff", "--find-renames", "--name-status", "-z", "--diff-filter=R", revision, "--")
	if err != nil {
		return "", err
	}
	found := ""
	fields := strings.Split(string(out), "\x00")
	const status, was, is, each = 0, 1, 2, 3
	for ; len(fields) >= each; fields = fields[each:] {
		if fields[is] == inside {
			return fields[was], nil
		}
		rest, ok := strings.CutPrefix(fields[is], inside+"/")
		folder, same := strings.CutSuffix(fields[was], "/"+rest)
		if !ok || !strings.HasPrefix(fields[status], "R") {
			continue
		}
		if !same || found != "" && found != folder {
			return "", nil
		}
		found = folder
	}
	return found, nil
}

// oldSide reads the side of a revision. What is said about its files names them as git
// does, REVISION:PATH.
func (f *diffFlags) oldSide(c *cobra.Command, dir, path string, varFiles []string) (*diffSide, error) {
	errOut := c.ErrOrStderr()
	c.SetErr(&renaming{errOut, dir + string(filepath.Separator), f.git + ":"})
	defer c.SetErr(errOut)
	side, err := f.side(c, path, varFiles)
	if err != nil && strings.Contains(err.Error(), dir) {
		err = errors.New(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), f.git+":"))
	}
	return side, err
}

// renaming writes with one text in place of another.
type renaming struct {
	w        io.Writer
	from, to string
}

func (r *renaming) Write(b []byte) (int, error) {
	if _, err := r.w.Write(bytes.ReplaceAll(b, []byte(r.from), []byte(r.to))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// noRules is a side without a policy: nothing is decided.
func noRules() *diffSide {
	side := &diffSide{families: map[packet.Family]prove.Side{}}
	for _, family := range packet.Families {
		// A table without rules always loads.
		file, _ := iptables.Parse([]byte("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\nCOMMIT\n"), iptables.Options{Family: family})
		side.families[family] = prove.Side{Rules: file.Table("filter")}
	}
	return side
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// gitPlace finds the repository of a path, and the path inside it.
func gitPlace(path string) (top, inside string, err error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", "", err
	}
	// A path that is gone is found by the folder that it was in.
	dir, rest := full, ""
	for {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir, full = real, filepath.Join(real, rest)
			break
		}
		if filepath.Dir(dir) == dir {
			return "", "", fmt.Errorf("no parent folder of %s exists", path)
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	out, err := git(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", "", err
	}
	top = filepath.FromSlash(strings.TrimSpace(string(out)))
	inside, err = filepath.Rel(top, full)
	return top, inside, err
}

// git runs git in a folder. Its error is git's own message.
func git(dir string, args ...string) ([]byte, error) { return gitWith(dir, "", args...) }

// gitWith is git with a variable of the environment; "" for none.
func gitWith(dir, variable string, args ...string) ([]byte, error) {
	c := exec.Command("git", append([]string{"-C", dir}, args...)...)
	if variable != "" {
		c.Env = append(os.Environ(), variable)
	}
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("--git needs the program git, which is not installed")
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(strings.TrimSpace(errOut.String()), "fatal: "))
	}
	return out, nil
}

// gitExtract writes the files of a revision into a folder. The whole tree, for
// a policy may name list files anywhere in it.
func gitExtract(top, revision, dir string) error {
	if strings.HasPrefix(revision, "-") {
		return fmt.Errorf("--git %s is not a revision", revision)
	}
	// The folder is the top of a repository, below which policies may name list files.
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o700); err != nil {
		return err
	}
	if _, err := git(top, "rev-parse", "--verify", "--quiet", revision+"^{tree}"); err != nil {
		return fmt.Errorf("--git %s is not a revision of %s", revision, top)
	}
	// As a checkout would, in an index of its own: git archive leaves out what export-ignore
	// says, which is still there for whoever loads the policy.
	index := "GIT_INDEX_FILE=" + filepath.Join(dir, ".git", "index")
	if _, err := gitWith(top, index, "read-tree", revision); err != nil {
		return err
	}
	if _, err := gitWith(top, index, "checkout-index", "--all", "--prefix="+dir+"/"); err != nil {
		return err
	}
	return withoutLinksOut(dir)
}

// withoutLinksOut removes symbolic links that lead out of a folder.
func withoutLinksOut(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, filepath.Join(filepath.Dir(path), to))
		if err == nil && !filepath.IsAbs(to) && filepath.IsLocal(inside) {
			return nil
		}
		return os.Remove(path)
	})
}
