package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
)

// NFT is the back end of nft; a file is seawall.nft. All that it looks at and changes is
// the table inet seawall, and the bridge beside it while it is replaced (emit.Bridge): what
// other tables drop stays dropped, and what they accept does not count (NETFILTER.md). The
// options are those of the policy.
func (h *Host) NFT(opt nftables.RuleOptions) Backend { return byNFT{h, opt} }

type byNFT struct {
	*Host
	opt nftables.RuleOptions
}

// ownTable is Seawall's table, as nft names it.
const ownTable = string(nftables.Inet) + " " + nftables.TableName

func nftCommand() string {
	if other := os.Getenv("NFT"); other != "" {
		return other
	}
	return "nft"
}

// Placed is true: there is one place for the table.
func (b byNFT) Placed() (bool, error) { return true, nil }

// listed is the table as nft lists it, or nil if there is none, and what is listed of
// the bridge as well.
func (b byNFT) listed() (own, bridge []byte, err error) {
	tables, err := b.output(nftCommand(), "list", "tables", string(nftables.Inet))
	if err != nil {
		return nil, nil, err
	}
	names := linesOf(string(tables))
	if slices.Contains(names, "table "+ownTable) {
		own, err = b.output(nftCommand(), "list", "table", string(nftables.Inet), nftables.TableName)
	}
	if err == nil && slices.Contains(names, "table "+emit.BridgeTable) {
		bridge, err = b.output(nftCommand(), "list", "table", string(nftables.Inet), nftables.BridgeName)
	}
	return own, bridge, err
}

func (b byNFT) Check() error {
	_, _, err := b.listed()
	return err
}

func (b byNFT) Rules() (map[packet.Family]dialect.Rules, error) {
	file, _, err := b.read()
	if err != nil {
		return nil, err
	}
	all := map[packet.Family]dialect.Rules{}
	for _, f := range packet.Families {
		all[f] = file.Rules(f, b.opt)
	}
	return all, nil
}

// read reads the table, nil for none. The file has the bridge too: one that was left
// behind denies as well.
func (b byNFT) read() (*nftables.File, *nftables.Table, error) {
	own, bridge, err := b.listed()
	if err != nil {
		return nil, nil, err
	}
	file, err := nftables.Parse(append(own, bridge...), nftables.Options{})
	var wrong *nftables.Error
	if errors.As(err, &wrong) {
		return nil, nil, fmt.Errorf("the table %s is listed in a form that cannot be read: %s: %s", ownTable, strings.TrimSpace(wrong.Text), wrong.Detail)
	} else if err != nil {
		return nil, nil, err
	}
	return file, file.Table(nftables.Inet, nftables.TableName), nil
}

// memoryNFT is the file with the version of nft and the rules that the last apply
// loaded, as it lists them.
const memoryNFT = "loaded-nft"

// Foreign are all rules of a table that Seawall did not make, and those that somebody
// added to the one that it loaded from this folder.
func (b byNFT) Foreign(t *Turn, fresh emit.File) ([]Rule, error) {
	_, now, err := b.read()
	if err != nil || now == nil {
		return nil, err
	}
	memory, err := b.remembered(t)
	if err != nil || memory == nil && emit.GeneratedTable(now.Comment) {
		return nil, err
	}
	file, err := nftables.Parse(fresh.Bytes, nftables.Options{})
	if err != nil {
		return nil, err
	}
	known := append(memory, rulesIn(file.Table(nftables.Inet, nftables.TableName))...)
	var list []Rule
	for _, r := range rulesIn(now) {
		if !slices.Contains(known, r) {
			list = append(list, Rule{Text: r})
		}
	}
	return list, nil
}

// remembered are the rules that the last apply loaded; nil for none, or where they were
// listed by another version of nft, in other words.
func (b byNFT) remembered(t *Turn) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(t.dir, memoryNFT))
	if err != nil {
		return nil, nil
	}
	version, err := b.output(nftCommand(), "--version")
	if err != nil {
		return nil, err
	}
	first, rules, _ := bytes.Cut(text, []byte("\n"))
	if !bytes.Equal(first, bytes.TrimSpace(version)) {
		return nil, nil
	}
	return linesOf(string(rules)), nil
}

// rulesIn are the rules of a table, each with its chain.
func rulesIn(t *nftables.Table) []string {
	if t == nil {
		return nil
	}
	var list []string
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			list = append(list, c.Name+" "+r.String())
		}
	}
	return list
}

// Current describes the table's current rules.
func (b byNFT) Current() (Record, error) {
	version, err := b.output(nftCommand(), "--version")
	if err != nil {
		return nil, err
	}
	_, now, err := b.read()
	if err != nil {
		return nil, err
	}
	lines := append([]string{string(bytes.TrimSpace(version))}, rulesIn(now)...)
	return Record{memoryNFT: []byte(strings.Join(lines, "\n") + "\n")}, nil
}

// Same reports whether the table has the rules and sets of a file.
func (b byNFT) Same(fresh emit.File) (bool, error) {
	_, now, err := b.read()
	if err != nil || now == nil {
		return false, err
	}
	file, err := nftables.Parse(fresh.Bytes, nftables.Options{})
	if err != nil {
		return false, err
	}
	want := file.Table(nftables.Inet, nftables.TableName)
	return want != nil && slices.Equal(rulesIn(want), rulesIn(now)) && slices.Equal(setsIn(want), setsIn(now)), nil
}

// setsIn are the names of a table's sets, sorted. Kernel and nft list the elements in an
// order of their own.
func setsIn(t *nftables.Table) []string {
	var names []string
	for _, s := range t.Sets {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}

// NFTPath is the path of nft on this host, for a unit of systemd.
func NFTPath() string {
	if path, err := exec.LookPath(nftCommand()); err == nil {
		if path, err = filepath.Abs(path); err == nil {
			return path
		}
	}
	return "/usr/sbin/nft"
}
