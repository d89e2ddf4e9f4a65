package docker

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
)

// Network is a bridge network.
type Network struct {
	Bridge  string
	Subnets []netip.Prefix // of this family
	Kind    Kind
	Known   bool         // Docker reported its kind
	Members []netip.Addr // its containers' addresses of this family, if Docker reported them
	kinds   []Kind       // the kinds that are possible according to Docker
}

// Mode is how packets from outside reach a network's containers.
type Mode int

// The modes (com.docker.network.bridge.gateway_mode_ipv4 and _ipv6).
const (
	GatewayNAT         Mode = iota // published ports, on host addresses
	GatewayUnprotected             // the same, and every port on the container's own address
	GatewayRouted                  // published ports, on the container's own address
	GatewayNone                    // internal or isolated: none
	elsewhere                      // no address of this family; older engines isolate it all the same
)

func (m Mode) String() string {
	return [...]string{"nat", "nat-unprotected", "routed", "internal", "none"}[m]
}

// Kind is everything that a network's rules depend on.
type Kind struct {
	Mode       Mode
	ICC        bool       // its containers may talk to each other
	Masquerade bool       // its packets to the outside get a host address
	SNAT       netip.Addr // that address, if it is fixed (host_ipv4)
}

// options are the daemon options that show in the rules.
type options struct {
	hairpin bool // userland-proxy is off
	ends    bool // DOCKER decides at its end, which some releases before 28 left to FORWARD
	direct  bool // the raw table drops packets to containers' own addresses
	raw     bool // the daemon writes to the raw table
}

// key identifies a rule in a table.
func key(table, chain, rule string) string { return table + " " + chain + " " + rule }

// builtins are the built-in chains that Docker writes to, by table.
var builtins = map[string][]string{"filter": {"FORWARD"}, "nat": {"PREROUTING", "OUTPUT", "POSTROUTING"}, "raw": {"PREROUTING"}}

// index records the rules in the chains that Docker writes to.
func (l *Layout) index() {
	for table, names := range builtins {
		t := l.Tables.table(table)
		if t == nil {
			continue
		}
		for _, c := range t.Chains {
			if !slices.Contains(names, c.Name) && !own(c.Name) {
				continue
			}
			for _, r := range c.Rules() {
				l.there[key(table, c.Name, r.Spec())] = true
			}
		}
	}
}

// own reports whether Docker creates and fills a chain.
func own(chain string) bool {
	return chain == chainDocker || strings.HasPrefix(chain, "DOCKER-") && chain != iptables.DockerUser
}

// all returns the networks with a way out, then those without.
func (l *Layout) all() []*Network { return append(slices.Clone(l.Networks), l.Internal...) }

// bridges collects the interfaces that may be Docker's bridges, with the subnets found in the
// rules: those that Docker reports, and those in rules of its chains.
func (l *Layout) bridges() {
	byName := map[string]*Network{}
	at := func(name string) *Network {
		if name == "" || strings.HasSuffix(name, "+") || name == "lo" || name == "loopback0" {
			return &Network{} // not a bridge
		}
		if byName[name] == nil {
			byName[name] = &Network{Bridge: name}
		}
		return byName[name]
	}
	for table := range builtins {
		t := l.Tables.table(table)
		if t == nil {
			continue
		}
		for _, c := range t.Chains {
			if !own(c.Name) && !slices.Contains(builtins[table], c.Name) {
				continue
			}
			for _, r := range c.Rules() {
				in, out := at(r.In.Name), at(r.Out.Name)
				switch n, s := subnetOf(c.Name, r, in, out); {
				case n != nil && !slices.Contains(n.Subnets, s):
					n.Subnets = append(n.Subnets, s)
				}
			}
		}
	}
	v6 := l.Tables.Family == packet.IPv6
	if l.Tables.Known != nil {
		for _, k := range l.Tables.Known.Networks {
			k.fill(at(k.Bridge), v6, l.Engine)
		}
	}
	for _, n := range byName {
		slices.SortFunc(n.Subnets, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
		l.Networks = append(l.Networks, n)
	}
	slices.SortFunc(l.Networks, func(a, b *Network) int { return cmp.Compare(a.Bridge, b.Bridge) })
}

// subnetOf is the subnet that a rule shows for a bridge: the masqueraded one, or that of an
// internal network.
func subnetOf(chain string, r *iptables.Rule, in, out *Network) (*Network, netip.Prefix) {
	switch {
	case chain == "POSTROUTING" && r.Source.Prefix.IsValid() && !r.Source.Not && r.Out.Not && (r.Target.Name == "MASQUERADE" || r.Target.Name == "SNAT"):
		return out, r.Source.Prefix
	case r.Target.Name == "DROP" && r.Source.Not && r.Out.Name != "" && !r.Out.Not:
		return out, r.Source.Prefix
	case r.Target.Name == "DROP" && r.Dest.Not && r.In.Name != "" && !r.In.Not:
		return in, r.Dest.Prefix
	}
	return nil, netip.Prefix{}
}

// infer determines which of the bridges are networks, and of which kind: the kind whose rules
// differ least from the existing ones. A missing rule thus does not change a network's kind. A
// bridge named by fewer than two rules in Docker's forms is not a network: somebody wrote a rule
// about another interface.
func (l *Layout) infer() {
	l.options = l.daemonOptions()
	list := l.Networks
	l.Networks = nil
	for _, n := range list {
		traces := l.fit(n)
		switch {
		case n.Known && len(n.Subnets) == 0, n.Kind.Mode == elsewhere: // no address of this family
		case !n.Known && traces < 2:
		case n.Kind.Mode == GatewayNone:
			l.Internal = append(l.Internal, n)
		default:
			l.Networks = append(l.Networks, n)
		}
	}
}

// fit finds a network's kind if Docker did not report it, and returns how many rules in Docker's
// forms name it.
func (l *Layout) fit(n *Network) (traces int) {
	kinds := l.kindsOf(n)
	each := make([][]Expected, len(kinds))
	present := map[string]bool{}
	for i, k := range kinds {
		each[i] = l.rules(n, k)
		for _, e := range each[i] {
			for _, found := range l.find(e) {
				present[found] = true
			}
		}
	}
	for id := range present {
		l.forms[id] = true
	}
	best := -1
	for i, k := range kinds {
		missing, explained := 0, map[string]bool{}
		for _, e := range each[i] {
			found := l.find(e)
			for _, one := range found {
				explained[one] = true
			}
			if found == nil {
				missing++
			}
		}
		if off := missing + len(present) - len(explained); best < 0 || off < best {
			best, n.Kind = off, k
		}
	}
	return len(present)
}

// kindsOf are the kinds that a network can have, the usual ones first.
func (l *Layout) kindsOf(n *Network) []Kind {
	if n.Known {
		return n.kinds
	}
	var list []Kind
	for _, mode := range []Mode{GatewayNAT, GatewayUnprotected, GatewayRouted, GatewayNone} {
		if mode == GatewayUnprotected && l.Engine == Classic && !l.options.ends {
			continue // the engine is older than that mode
		}
		for _, icc := range []bool{true, false} {
			k := Kind{Mode: mode, ICC: icc}
			if mode == GatewayNAT || mode == GatewayUnprotected {
				k.Masquerade = true
				list = append(list, k)
				if a := l.snat(n); a.IsValid() {
					k.SNAT = a
					list = append(list, k)
				}
				k.Masquerade, k.SNAT = false, netip.Addr{}
			}
			list = append(list, k)
		}
	}
	if l.Engine.stages() {
		list = append(list, Kind{Mode: elsewhere})
	}
	return list
}

// snat is the source address of a network's outgoing packets if a rule fixes one.
func (l *Layout) snat(n *Network) netip.Addr {
	var found netip.Addr
	each(l.Tables.Nat, "POSTROUTING", func(r *iptables.Rule) {
		if r.Target.Name != "SNAT" || r.Out.Name != n.Bridge {
			return
		}
		for _, o := range r.Target.Options {
			if o.Name == "--to-source" && len(o.Values) == 1 {
				if a, err := netip.ParseAddr(o.Values[0]); err == nil {
					found = a
				}
			}
		}
	})
	return found
}

// daemonOptions infers the daemon's options from the rules.
func (l *Layout) daemonOptions() options {
	o := options{hairpin: l.hairpin()}
	each(l.Tables.Filter, chainDocker, func(r *iptables.Rule) {
		o.ends = o.ends || r.In.Not && r.In.Name != "" && r.In.Name == r.Out.Name && !r.Dest.Prefix.IsValid()
	})
	each(l.Tables.Raw, "PREROUTING", func(r *iptables.Rule) {
		if r.Target.Name == "DROP" && r.In.Not && r.Dest.Prefix.IsSingleIP() && !r.Dest.Not {
			o.raw = true
			o.direct = o.direct || r.In.Name != "lo"
		}
	})
	if k := l.Tables.Known; k != nil && l.Engine != Classic {
		o.raw, o.direct = o.raw || k.Raw, o.direct || k.Direct
	}
	return o
}

// hairpin reports whether docker-proxy is off, by the majority of the rules that differ.
func (l *Layout) hairpin() bool {
	off, on := 0, 0
	count := func(n *int) func(bool) {
		return func(yes bool) {
			if yes {
				*n++
			}
		}
	}
	each(l.Tables.Nat, "OUTPUT", func(r *iptables.Rule) {
		count(&off)(r.Spec() == outputJump)
		count(&on)(r.Target.Name == chainDocker && r.Dest.Not)
	})
	each(l.Tables.Nat, chainDocker, func(r *iptables.Rule) {
		count(&off)(r.Target.Name == "DNAT" && r.In.Name == "")
		count(&on)(r.Target.Name == "DNAT" && r.In.Not || r.Target.Name == "RETURN" && r.In.Name != "loopback0")
	})
	return off > on
}

// fill applies what Docker reports about a network. Engines before 27 keep a gateway mode as an
// unknown option, and have the usual rules.
func (k KnownNetwork) fill(n *Network, v6 bool, e Engine) {
	n.Known = true
	n.kinds = []Kind{k.kind(v6)}
	if mode := n.kinds[0].Mode; e == Classic && (mode == GatewayRouted || mode == GatewayUnprotected) {
		plain := k
		plain.Options = maps.Clone(k.Options)
		delete(plain.Options, gatewayMode+"ipv4")
		delete(plain.Options, gatewayMode+"ipv6")
		n.kinds = append([]Kind{plain.kind(v6)}, n.kinds...)
	}
	n.Subnets = nil
	for _, s := range k.Subnets {
		if s.Addr().Is6() == v6 {
			n.Subnets = append(n.Subnets, s)
		}
	}
	for _, a := range k.Members {
		if a.Is6() == v6 {
			n.Members = append(n.Members, a)
		}
	}
}

// The options of the bridge driver, from Docker's documentation.
const (
	prefix      = "com.docker.network.bridge."
	gatewayMode = prefix + "gateway_mode_"
)

// kind derives a network's kind from its options.
func (k KnownNetwork) kind(v6 bool) Kind {
	mode, host := k.Options[gatewayMode+"ipv4"], k.Options["com.docker.network.host_ipv4"]
	if v6 {
		mode, host = k.Options[gatewayMode+"ipv6"], k.Options["com.docker.network.host_ipv6"]
	}
	kind := Kind{ICC: k.Options[prefix+"enable_icc"] != "false", Masquerade: k.Options[prefix+"enable_ip_masquerade"] != "false"}
	switch mode {
	case "routed":
		kind.Mode, kind.Masquerade = GatewayRouted, false
	case "nat-unprotected":
		kind.Mode = GatewayUnprotected
	}
	if k.Internal || mode == "isolated" {
		kind.Mode, kind.Masquerade = GatewayNone, false
	}
	if a, err := netip.ParseAddr(host); err == nil && kind.Masquerade {
		kind.SNAT = a
	}
	return kind
}

func (k Kind) String() string {
	text := k.Mode.String()
	if k.ICC {
		text += ", icc"
	}
	switch {
	case k.SNAT.IsValid():
		text += ", SNAT to " + k.SNAT.String()
	case k.Masquerade:
		text += ", masquerade"
	}
	return text
}
