package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/ipset"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// rulesFlags are the flags of the commands that read a file of rules.
type rulesFlags struct {
	family  string
	noFlush bool
	sets    string
}

func (f *rulesFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.family, "family", "", "the file's address family, 4 or 6, when neither it nor its name shows it")
	c.Flags().BoolVar(&f.noFlush, "noflush", false, "the file is loaded with iptables-restore --noflush (default for one that declares no built-in chain)")
	registerSets(c, &f.sets)
	choices(c, "family", "4", "6")
}

// options are the flags as the library takes them.
func (f *rulesFlags) options() (compiler.ReadOptions, error) {
	opt := compiler.ReadOptions{NoFlush: f.noFlush}
	var err error
	if opt.Family, err = parseFamily(f.family); err != nil {
		return opt, err
	}
	opt.Sets, err = readSets(f.sets)
	return opt, err
}

// parseFamily reads the flag --family; 0 where it is not given.
func parseFamily(text string) (packet.Family, error) {
	switch text {
	case "":
		return 0, nil
	case "4":
		return packet.IPv4, nil
	case "6":
		return packet.IPv6, nil
	}
	return 0, fmt.Errorf("--family is 4 or 6, not %s", text)
}

// read reads a file of rules that the user named.
func (f *rulesFlags) read(c *cobra.Command, name string) ([]*compiler.Rules, error) {
	opt, err := f.options()
	if err != nil {
		return nil, err
	}
	src, shown, err := readInput(c, name, takesRules)
	if err != nil {
		return nil, err
	}
	return readRules(shown, src, opt)
}

// readRules reads the text of a file of rules, and shows the line that does not
// load.
func readRules(shown string, src []byte, opt compiler.ReadOptions) ([]*compiler.Rules, error) {
	list, err := compiler.ReadRules(shown, src, opt)
	return list, atLine(shown, err)
}

// readSets reads the ipsets that rules ask for; none without a file. It is what
// ipset save printed, or a file for ipset restore.
func readSets(name string) (ipset.Sets, error) {
	if name == "" {
		return nil, nil
	}
	src, err := readFile(name)
	if err != nil {
		return nil, cannotRead(name, err, takesSets)
	}
	sets, err := ipset.Parse(src)
	return sets, atLine(name, err)
}

// registerSets adds the flag --ipset.
func registerSets(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "ipset", "", "the ipsets that the rules ask for: a `FILE` of ipset save, or for ipset restore")
}

// atLine shows the line of a file that an error is about.
func atLine(name string, err error) error {
	var ofRules *iptables.Error
	var ofSets *ipset.Error
	var ofNFT *nftables.Error
	switch {
	case errors.As(err, &ofRules):
		return lineError(name, ofRules.Line, ofRules.Text, ofRules.Detail)
	case errors.As(err, &ofSets):
		return lineError(name, ofSets.Line, ofSets.Text, ofSets.Detail)
	case errors.As(err, &ofNFT):
		return lineError(name, ofNFT.Line, ofNFT.Text, ofNFT.Detail)
	case err != nil:
		var ambiguous *iptables.AmbiguousError
		if errors.As(err, &ambiguous) {
			return err
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// maxShown is how much of a line is shown.
const maxShown = 200

func lineError(name string, line int, text, detail string) error {
	if text == "" {
		return fmt.Errorf("%s:%d: %s", name, line, detail)
	}
	return fmt.Errorf("%s:%d: %s\n\n  %d: %s", name, line, detail, line, printable(text))
}

// printable is a line of a file for a message: not all of a long one.
func printable(text string) string { return shortened(strings.TrimRight(text, "\r"), maxShown) }

// readFile reads a file, of any kind, as long as it is not too large.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return schema.ReadRules(f)
}

// readInput reads a file that the user named, or standard input.
func readInput(c *cobra.Command, name, takes string) (src []byte, shown string, err error) {
	if name == "-" {
		if src, err = schema.ReadRules(c.InOrStdin()); err != nil {
			err = cannotRead("standard input", err, takes)
		}
		return src, "standard input", err
	}
	if src, err = readFile(name); err != nil {
		return nil, name, cannotRead(name, err, takes)
	}
	return src, name, nil
}
