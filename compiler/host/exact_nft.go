package host

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// exactly returns an error if a listing of the table, loaded again, would not be the
// table that the kernel has. A listing can say less, or something else (NETFILTER.md section
// 8); what nft says to the kernel for each rule cannot. The listing is loaded in a network
// namespace of its own; where that cannot be made, nothing is checked.
func (b byNFT) exactly(listing string) error {
	now, err := b.output(nftCommand(), "--debug=netlink", "list", "table", "inet", "seawall")
	if err != nil {
		return nil // an nft that was built without it
	}
	const again = `"$0" -f "$1" && exec "$0" --debug=netlink list table inet seawall`
	c := exec.Command("unshare", "-n", "sh", "-c", again, nftCommand(), listing)
	c.Env = b.env
	then, err := c.Output()
	if err != nil {
		return nil
	}
	have, would := instructions(now), instructions(then)
	if slices.Equal(have, would) {
		return nil
	}
	at := 0
	for at < len(have) && at < len(would) && have[at] == would[at] {
		at++
	}
	lost := "more"
	if at < len(have) {
		lost = have[at]
	}
	return fmt.Errorf("the table %s could not be restored exactly if this failed: nft lists its rules in other words than the kernel has them (%s). If it may go, delete it first: nft delete table %s", ownTable, lost, ownTable)
}

// instructions are those of the rules in what nft says to the kernel, without what they
// have counted, and the numbers of sets without a name.
func instructions(debug []byte) []string {
	var list []string
	for line := range bytes.Lines(debug) {
		if text := strings.TrimSpace(string(line)); strings.HasPrefix(text, "[ ") {
			list = append(list, numbered.ReplaceAllString(counting.ReplaceAllString(text, "$1"), "$1"))
		}
	}
	return list
}

var (
	counting = regexp.MustCompile(`^(\[ (?:counter|quota|last)) .*`)
	numbered = regexp.MustCompile(`(__set|__map|__chain)[0-9]+`)
)
