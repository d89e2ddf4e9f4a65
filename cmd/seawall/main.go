// Command seawall compiles a policy for a Docker host, "who may reach which
// published port", into persistent iptables files, and proves that the files
// implement the policy.
//
// This folder is only the command line: one file per command, which reads flags,
// calls the packages schema and compiler, and prints.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitError   = 1
	exitDiffers = 2
)

// exitCode is an error that was already reported to the user.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func main() {
	tuneMemory()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// tuneMemory lets the heap grow to three times of what is in use, which saves a
// compile a quarter of its time, but keeps the program within 300 MiB while a million
// sources fit in that, and within a gigabyte. The environment may say otherwise.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		afterEachCollection(func(live uint64) { debug.SetMemoryLimit(memoryLimit(live)) })
	}
}

// memoryLimit is the limit of the memory while so many bytes are in use. A heap that nearly
// fills its limit would be collected all the time.
func memoryLimit(live uint64) int64 {
	const least, most, full = 260 << 20, 920 << 20, 200 << 20
	return min(least+4*max(int64(live)-full, 0), most)
}

// afterEachCollection calls f now and whenever garbage was collected, with how many bytes
// of the heap are in use.
func afterEachCollection(f func(live uint64)) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	f(live[0].Value.Uint64())
	runtime.AddCleanup(new(collected), func(struct{}) { afterEachCollection(f) }, struct{}{})
}

// collected is garbage as soon as it is made. It has a pointer: what has none may share its
// memory with something that is kept.
type collected struct{ _ *byte }

// run is the whole program, and returns its exit code.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	answer, said := newOutput(out), newOutput(errOut)
	root.SetOut(answer)
	root.SetErr(said)
	ctx, stop := interruptible(said)
	defer stop()
	working, ended := showProgress(ctx, answer, said)
	err := root.ExecuteContext(working)
	ended()
	answer.end()
	defer said.end()
	var code exitCode
	unwritten := answer.failure()
	switch {
	case ctx.Err() != nil && err != nil && !errors.As(err, &code):
		err = errors.New("interrupted")
	case answer.err != nil && (err == nil || errors.As(err, &code) || err == answer.err): // not an error that says more
		if err = unwritten; err == nil {
			return exitError // nobody reads on
		}
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	if at, ok := err.(*fs.PathError); ok { // with nothing around it that says more
		err = fmt.Errorf("cannot %s %s: %w", at.Op, oneLine(at.Path), at.Err)
	}
	if strings.HasPrefix(err.Error(), "unknown command ") {
		err = fmt.Errorf("%s\n\nSee seawall --help", strings.TrimSpace(err.Error()))
	}
	fmt.Fprintf(said, "Error: %s\n", shortened(err.Error(), longest))
	return exitError
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "seawall",
		Short:   "Who may reach which published port of a Docker host",
		Version: versionText(),
		Long: `Seawall compiles a policy, who may reach which published port of a Docker
host, into persistent iptables files, and proves that the files implement
the policy.

Policies are written in HCL. PATH is a file, a folder (all of its *.hcl and
*.hcl.json files, merged), or - for standard input. The default is the current
folder.`,
		Example: `  seawall compile policy.hcl --out-dir /etc/sysconfig
  seawall validate
  seawall explain --from 203.0.113.9 --to 8080`,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return noEmptyFlags(c) },
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	root.AddCommand(compileCommand(), applyCommand(), watchCommand(), validateCommand(), testCommand(), explainCommand(), verifyCommand(), diffCommand(), renderCommand(), doctorCommand(), exposureCommand(), importCommand(), initCommand(), fmtCommand(), lspCommand(), versionCommand(), docsCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\n\nSee %s --help", inWords(c, err), c.CommandPath())
	})
	return root
}

// noEmptyFlags refuses a flag that is there and empty, as of a script's variable that is
// not set: it would be taken for one that is left out.
func noEmptyFlags(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if err == nil && slices.Contains(values, "") {
			err = fmt.Errorf("--%s is empty. Give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// values describes what the flags of a type take, by the name of the type.
var values = map[string]string{
	"bool":     "true or false",
	"duration": "a time, such as 30s or 5m",
	"int":      "a whole number",
}

// inWords replaces what Go's parsers say of a flag's value, and names the flag that one
// may have been meant for.
func inWords(c *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if name := nearest(c, e.GetSpecifiedName()); name != "" {
			return fmt.Errorf("%w. Did you mean --%s?", err, name)
		}
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if takes, ok := values[e.GetFlag().Value.Type()]; ok {
			return fmt.Errorf("--%s takes %s, not %q", e.GetFlag().Name, takes, e.GetValue())
		}
	}
	return err
}

// nearest returns the flag whose name is most like a name, "" when none is like it.
func nearest(c *cobra.Command, name string) string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return nearestOf(name, names)
}

// nearestOf returns the word that is most like a word, whatever its case, or that it
// begins; "" when none is.
func nearestOf(given string, words []string) string {
	best, distance := "", min(3, len(given)/2+1)
	for _, w := range words {
		if len(given) > 2 && strings.HasPrefix(w, strings.ToLower(given)) {
			return w
		}
		if d := levenshtein.Distance(strings.ToLower(given), w, nil); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// didYouMean suggests the word that a mistyped one may stand for, as a sentence after an
// error; "" when none is like it.
func didYouMean(given string, words []string) string {
	if best := nearestOf(given, words); best != "" {
		return fmt.Sprintf(". Did you mean %s?", best)
	}
	return ""
}
