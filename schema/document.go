package schema

import (
	"net/netip"

	"github.com/hashicorp/hcl/v2"
	"go4.org/netipx"
)

// Document is one whole policy: the content of its files, evaluated, checked and
// typed. Every value that a message may mention keeps its source range.
type Document struct {
	Host     *Host
	Sets     []*Set // in order of declaration
	Guard    *Guard // nil without a guard block
	Policies []*Policy
	Forwards []*Forward
	Tests    []*Test
}

// Verdict is what happens to a packet (SPEC.md section 2).
type Verdict uint8

// The verdicts of the language. Pass hands the packet back to Docker's own
// rules, Accept lets it past them.
const (
	Pass Verdict = iota
	Accept
	Deny
	Reject
)

// String returns the verdict's only name in messages, files and documents.
func (v Verdict) String() string {
	return [...]string{"pass", "accept", "deny", "reject"}[v]
}

// Host is the host block.
type Host struct {
	External      []Interface
	Internal      []Interface // not external, although a pattern in External covers them
	Bridges       []Interface // empty: where a packet leaves makes no difference
	Unlisted      Verdict     // Pass, Deny or Reject
	Established   Treatment
	Related       Treatment
	DenyInvalid   bool // invalid = "deny"
	UserlandProxy bool
	// Shared says that DOCKER-USER has rules of others as well (docker_user = "shared").
	Shared   bool
	LogLimit Rate
	// AcceptMark is the packet mark with which Docker lets packets past its own rules
	// (--bridge-accept-fwmark); 0: none.
	AcceptMark uint32
	Range      hcl.Range
	Attributes map[string]hcl.Range // where those that are written stand
}

// At returns where an attribute stands, or where the block does if it is not written.
func (h *Host) At(attribute string) hcl.Range {
	if at, ok := h.Attributes[attribute]; ok {
		return at
	}
	return h.Range
}

// Outside returns the external interfaces, without those that internal covers
// completely.
func (h *Host) Outside() []Interface { return without(h.External, h.Internal) }

// without removes the interfaces that one of the others covers.
func without(list, others []Interface) []Interface {
	var kept []Interface
	for _, i := range list {
		if !coveredBy(i, others) {
			kept = append(kept, i)
		}
	}
	return kept
}

// Treatment is what happens to packets that belong to a connection, or are
// related to one, before guard and policies see them (established, related).
type Treatment uint8

// The treatments. Check leaves them to guard and policies; Keep passes them, and
// Accepted accepts them on every interface.
const (
	Check Treatment = iota
	Keep
	Accepted
)

// String returns the treatment's word in a policy.
func (t Treatment) String() string { return [...]string{"check", "keep", "accept"}[t] }

// Interface is the name of a network interface, or with Prefix the start of one
// ("eth+" in a policy, as in iptables; "+" by itself is every interface).
type Interface struct {
	Name   string
	Prefix bool
	Range  hcl.Range
}

// String returns the interface as iptables writes it: eth0, or eth+ for a prefix.
func (i Interface) String() string {
	if i.Prefix {
		return i.Name + "+"
	}
	return i.Name
}

// Every reports whether i is every interface.
func (i Interface) Every() bool { return i.Prefix && i.Name == "" }

// Covers reports whether i matches every interface that other matches.
func (i Interface) Covers(other Interface) bool {
	if !i.Prefix {
		return !other.Prefix && i.Name == other.Name
	}
	return len(other.Name) >= len(i.Name) && other.Name[:len(i.Name)] == i.Name
}

// Rate is a number of events per unit of time, as in log_limit.
type Rate struct {
	Count int
	Unit  string // second, minute, hour or day
}

// Span is one source: all addresses from First to Last, both of one family.
type Span struct {
	First, Last netip.Addr
	Line        int        // in its list's file
	Range       *hcl.Range // nil for a line of a list file
}

// String returns the span in its shortest form: an address, a CIDR or a range.
func (s Span) String() string {
	if s.First == s.Last {
		return s.First.String()
	}
	r := netipx.IPRangeFrom(s.First, s.Last)
	if p, ok := r.Prefix(); ok {
		return p.String()
	}
	return r.String()
}

// Sources is a list of sources as written: spans, and references to sets.
type Sources struct {
	Any   bool
	Lists []List
	Sets  []SetRef
	Range hcl.Range
}

// SetRef is one reference to a set.
type SetRef struct {
	Set   *Set
	Range hcl.Range
}

// Set is a set block: the addresses of Sources without those of Except, or what
// somebody else puts into the ipsets while the host runs.
type Set struct {
	Name          string
	Sources       *Sources // empty where it is filled at run time
	Except        *Sources // nil without except
	IPSet, IPSet6 string   // for IPv4 and for IPv6; "" for none
	Range         hcl.Range
}

// Rule is an allow or deny block.
type Rule struct {
	Verdict Verdict
	Sources *Sources
	Except  *Sources // nil without except
	Log     string   // the log prefix, "" for no log
	Range   hcl.Range
}

// Guard is the guard block. It decides before every policy.
type Guard struct {
	Rules []*Rule
	Range hcl.Range
}

// Policy is a policy block, or one instance of a block with for_each.
type Policy struct {
	Name        string // web, or web["key"]
	Description string
	Ports       []Ports
	Address     []netip.Prefix // none: every host address
	External    []Interface    // the host's unless narrowed; without the internal ones
	Rules       []*Rule
	Default     Verdict // Deny, Reject or Pass
	Range       hcl.Range
	PortsRange  hcl.Range
	AddressSet  *netipx.IPSet // Address, or every address of both families
	DefaultAt   *hcl.Range    // nil when default is not written
	Narrowed    bool          // external was written
}

// Ports is a range of original destination ports of one protocol.
type Ports struct {
	Protocol    Protocol
	First, Last uint16
	Range       hcl.Range
}

// Protocol is an IP protocol number that has ports.
type Protocol uint8

// The protocols that Docker can publish.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the protocol's name as Docker and iptables write it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "sctp"
}

// Forward is a forward block: traffic that this host routes for other hosts.
type Forward struct {
	Name         string
	From, To     []Interface
	Sources      *Sources // nil: any
	Destinations *Sources // nil: any
	Range        hcl.Range
}

// Test is a test block. It must hold for every address of its sources.
type Test struct {
	Name     string
	To       []Endpoint
	Allow    *Sources // nil when not written
	Deny     *Sources
	External Interface
	Range    hcl.Range
}

// Endpoint is where a test's connection goes: [address:]port[/proto].
type Endpoint struct {
	Address netip.Addr // the zero Addr: every host address
	Ports   Ports
	Range   hcl.Range
}
