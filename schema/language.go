package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Block is one kind of block of the language: what the reader accepts, and what
// the reference shows. Both come from the same table, so that neither can go out
// of date.
type Block struct {
	Name       string
	Labelled   bool
	In         string // the block that contains it; "" for the top level
	Count      string
	Doc        string
	Attributes []Attribute
	Blocks     []string
}

// Attribute is one attribute of a block.
type Attribute struct {
	Name, Type, Default, Doc string
	Required                 bool
}

// Words are those that the attribute takes, where it takes one of a few.
func (a Attribute) Words() []string {
	var list []string
	for _, m := range oneWord.FindAllStringSubmatch(a.Type, -1) {
		list = append(list, m[1])
	}
	return list
}

// oneWord is a word as the table below writes it.
var oneWord = regexp.MustCompile("`\"([a-z]+)\"`")

var (
	sourcesAttribute = Attribute{Name: "sources", Type: "list of sources, or any", Doc: "who it matches; required in allow and deny"}
	exceptAttribute  = Attribute{Name: "except", Type: "list of sources", Doc: "sources that the block does not match"}
	logAttribute     = Attribute{Name: "log", Type: "string", Doc: "logs each match under this prefix, up to the host's log_limit"}
	required         = true
)

// Language is every block, in the order of the reference.
var Language = []Block{
	{Name: "host", Count: "exactly 1", Doc: "Settings of the whole host.", Attributes: []Attribute{
		{"external", "list of strings", "", "the interfaces on which traffic from outside arrives; `eth+` matches every interface whose name starts with `eth`, and `+` every interface", required},
		{"internal", "list of strings", "", "interfaces that are not external although a pattern in `external` covers them", false},
		{"bridges", "list of strings", "every interface", "the interfaces of container networks; what the host forwards to any other interface passes, so a network whose interface is not covered is open", false},
		{"unlisted", "`\"deny\"`, `\"reject\"` or `\"allow\"`", "", "what happens to traffic from outside that no policy covers", required},
		{"established", "`\"check\"`, `\"keep\"` or `\"accept\"`", "`\"check\"`", "whether a change cuts established connections that it now denies; `\"accept\"` accepts their packets before everything else, on every interface", false},
		{"related", "`\"check\"`, `\"keep\"` or `\"accept\"`", "`\"check\"`", "the same for packets that are related to a known connection, such as FTP data", false},
		{"invalid", "`\"deny\"`", "", "`\"deny\"` drops forwarded packets in state INVALID, on every interface; without it they are unlisted", false},
		{"userland_proxy", "bool", "`true`", "as in Docker's daemon.json: whether docker-proxy runs; its traffic goes through the host's INPUT chain", false},
		{"docker_user", "`\"whole\"` or `\"shared\"`", "`\"whole\"`", "whether the chain DOCKER-USER is Seawall's as a whole, or is shared with fail2ban, CrowdSec or rules of your own: then Seawall's rules are in the chain SEAWALL-FORWARD, to which DOCKER-USER jumps, and all others stay", false},
		{"log_limit", "string", "`\"10/minute\"`", "how often a log prefix is logged at most: a number per second, minute, hour or day", false},
		{"accept_mark", "string", "none", "the mark of Docker's `--bridge-accept-fwmark`, such as `\"0x1\"`: how a table of nftables accepts past Docker's own rules", false},
	}},
	{Name: "variable", Labelled: true, Count: "any number", Doc: "A value from outside: `--var NAME=VALUE`, `--var-file FILE`, or `SEAWALL_VAR_NAME`; used as `var.NAME`.", Attributes: []Attribute{
		{"type", "a type, such as `list(string)`", "any", "what the value must be", false},
		{"default", "any", "", "the value when none is given; a variable without a default must be set", false},
		{"description", "string", "", "what it is for", false},
	}, Blocks: []string{"validation"}},
	{Name: "validation", In: "variable", Count: "any number", Doc: "A condition that a variable's value must meet.", Attributes: []Attribute{
		{"condition", "bool", "", "an expression with `var.NAME`", required},
		{"error_message", "string", "", "the message when it does not hold", required},
	}},
	{Name: "locals", Count: "any number", Doc: "Names for expressions, used as `local.NAME`. Every attribute is one."},
	{Name: "set", Labelled: true, Count: "any number", Doc: "A list of sources with a name, used as `set.NAME`. At least one of `sources` and `files`; or `ipset`, for a set that somebody else fills while the host runs. Such a set may only keep its members out: in the `sources` of `deny` and in the `except` of `allow`.", Attributes: []Attribute{
		sourcesAttribute,
		{"files", "list of strings", "", "files with one source per line and `#` comments, relative to the policy file", false},
		exceptAttribute,
		{"ipset", "string", "", "the ipset of IPv4 addresses that somebody else fills, such as `\"crowdsec-blacklists\"`; without it the set has no IPv4 address", false},
		{"ipset6", "string", "", "the same for IPv6, such as `\"crowdsec6-blacklists\"`", false},
	}},
	{Name: "guard", Count: "at most 1", Doc: "Decides before every policy, for every port of a policy and for unlisted traffic. What it does not match continues to the policies.", Blocks: []string{"allow", "deny"}},
	{Name: "policy", Labelled: true, Count: "any number", Doc: "Who may reach some published ports. Its blocks are tried in the order in which they are written, then its default applies. Where one policy's ports, addresses and interfaces lie inside another's, the narrower policy decides; any other overlap is an error.", Attributes: []Attribute{
		{"ports", "list of ports", "", "published ports: `443`, `\"53/udp\"`, `\"8000-8010/tcp\"`; the protocol is tcp (the default), udp or sctp", required},
		{"address", "list of addresses or CIDRs", "every address", "only where it is published on these addresses of the host", false},
		{"external", "list of strings", "the host's", "only on these of the host's external interfaces", false},
		{"description", "string", "", "what it is for; it is shown on rendered pages", false},
		{"default", "`\"deny\"`, `\"reject\"` or `\"allow\"`", "`\"deny\"`", "what happens to a source that no block matches", false},
		{"for_each", "map or set of strings", "", "makes one policy for each element, with `each.key` and `each.value`", false},
	}, Blocks: []string{"allow", "deny"}},
	{Name: "allow", In: "policy, guard", Count: "any number", Doc: "Lets sources in.", Attributes: []Attribute{
		sourcesAttribute, exceptAttribute, logAttribute,
		{"accept", "bool", "`false`", "lets them past Docker's own rules too (ACCEPT instead of RETURN)", false},
	}},
	{Name: "deny", In: "policy, guard", Count: "any number", Doc: "Keeps sources out.", Attributes: []Attribute{
		sourcesAttribute, exceptAttribute, logAttribute,
		{"reject", "bool", "`false`", "answers with an error instead of dropping silently (REJECT instead of DROP)", false},
	}},
	{Name: "forward", Labelled: true, Count: "any number", Doc: "Traffic that this host routes for other hosts and that must pass: connections and their replies.", Attributes: []Attribute{
		{"from", "string or list of strings", "", "the interfaces on which connections come in", required},
		{"to", "string or list of strings", "", "the interfaces on which they go out", required},
		{"sources", "list of sources", "any", "only from these", false},
		{"destinations", "list of sources", "any", "only to these", false},
	}},
	{Name: "test", Labelled: true, Count: "any number", Doc: "What must hold, for every address of every CIDR in it. `seawall test` proves it.", Attributes: []Attribute{
		{"to", "list of strings", "", "where connections go: `[address:]port[/proto]`", required},
		{"allow", "list of sources", "", "who must get in", false},
		{"deny", "list of sources", "", "who must not", false},
		{"external", "string", "the host's first", "the interface on which they arrive", false},
	}},
}

// bodyOf returns what the reader accepts in a block: the attributes and blocks of
// the table.
func bodyOf(name string) *hcl.BodySchema {
	i := slices.IndexFunc(Language, func(b Block) bool { return b.Name == name })
	body := &hcl.BodySchema{}
	for _, a := range Language[i].Attributes {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: a.Name, Required: a.Required})
	}
	for _, b := range Language[i].Blocks {
		body.Blocks = append(body.Blocks, hcl.BlockHeaderSchema{Type: b})
	}
	return body
}

// topLevel returns what the reader accepts at the top level of a file.
func topLevel() *hcl.BodySchema {
	body := &hcl.BodySchema{}
	for _, b := range Language {
		if b.In != "" {
			continue
		}
		h := hcl.BlockHeaderSchema{Type: b.Name}
		if b.Labelled {
			h.LabelNames = []string{"name"}
		}
		body.Blocks = append(body.Blocks, h)
	}
	return body
}

// Function is one function of the language.
type Function struct{ Signature, Doc string }

// Functions returns all functions, sorted by name.
func Functions() []Function {
	var list []Function
	for name, f := range functions {
		var params []string
		for _, p := range f.Params() {
			params = append(params, p.Name)
		}
		if p := f.VarParam(); p != nil {
			params = append(params, p.Name+"...")
		}
		list = append(list, Function{fmt.Sprintf("%s(%s)", name, strings.Join(params, ", ")), f.Description()})
	}
	slices.SortFunc(list, func(a, b Function) int { return strings.Compare(a.Signature, b.Signature) })
	return list
}
