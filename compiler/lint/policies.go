package lint

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/schema"
)

// unreachable finds policies whose whole scope is taken by narrower ones, and those for which the
// guard decides about everybody.
func (l *linter) unreachable() {
	inside := map[*schema.Policy][]*schema.Policy{}
	for _, pair := range schema.Nested(l.doc.Policies) {
		inside[pair[1]] = append(inside[pair[1]], pair[0])
	}
	for _, p := range l.doc.Policies {
		if taken := l.takenBy(p, inside[p]); taken != "" {
			l.add(p, Finding{Code: "SW004", Summary: "A policy that no packet can reach", At: p.Range,
				Detail: "Narrower policies cover its whole scope: " + taken + "."})
		} else if l.guardDecidesAll() {
			l.add(p, Finding{Code: "SW004", Summary: "A policy that no packet can reach", At: p.Range,
				Detail: fmt.Sprintf("The guard (%s) decides about everybody.", place(l.doc.Guard.Range))})
		}
	}
}

func (l *linter) guardDecidesAll() bool {
	for f, r := range l.resolve {
		if !l.guard[f].sources.Equal(r.Every()) {
			return false
		}
	}
	return true
}

// takenBy names the policies inside p that together cover its whole scope, or returns "".
// Policies either nest or do not overlap, so the sizes of the outermost ones can be added up.
// Only those on all of p's interfaces count.
func (l *linter) takenBy(p *schema.Policy, inner []*schema.Policy) string {
	total := new(big.Int)
	var names []string
	for _, q := range inner {
		if !sameInterfaces(q.External, p.External) || !outermost(q, inner) {
			continue
		}
		total.Add(total, size(q))
		names = append(names, fmt.Sprintf("%s (%s)", q.Name, place(q.Range)))
	}
	if len(names) == 0 || total.Cmp(size(p)) < 0 {
		return ""
	}
	return strings.Join(names, ", ")
}

func sameInterfaces(a, b []schema.Interface) bool {
	within := func(a, b []schema.Interface) bool {
		return !slices.ContainsFunc(a, func(i schema.Interface) bool {
			return !slices.ContainsFunc(b, func(j schema.Interface) bool { return j.Covers(i) })
		})
	}
	return within(a, b) && within(b, a)
}

func outermost(q *schema.Policy, all []*schema.Policy) bool {
	for _, pair := range schema.Nested(all) {
		if pair[0] == q {
			return false
		}
	}
	return true
}

// size is the number of (port, address) pairs of a policy.
func size(p *schema.Policy) *big.Int {
	ports := map[[2]int]bool{}
	for _, r := range p.Ports {
		for n := int(r.First); n <= int(r.Last); n++ {
			ports[[2]int{int(r.Protocol), n}] = true
		}
	}
	addresses := new(big.Int)
	for _, x := range p.AddressSet.Prefixes() {
		addresses.Add(addresses, new(big.Int).Lsh(big.NewInt(1), uint(x.Addr().BitLen()-x.Bits())))
	}
	return addresses.Mul(addresses, big.NewInt(int64(len(ports))))
}

// sensitive are ports commonly used by databases and administration tools, which are hardly ever
// meant for everybody.
var sensitive = map[int]string{
	22: "SSH", 23: "Telnet", 135: "Windows RPC", 445: "SMB", 1433: "SQL Server", 1521: "Oracle", 2049: "NFS",
	2375: "the Docker API without TLS", 2376: "the Docker API", 2379: "etcd", 2380: "etcd", 3306: "MySQL",
	3389: "remote desktops", 5432: "PostgreSQL", 5601: "Kibana", 5672: "RabbitMQ", 5900: "VNC", 5984: "CouchDB",
	6379: "Redis", 7000: "Cassandra", 8086: "InfluxDB", 9042: "Cassandra", 9092: "Kafka", 9200: "Elasticsearch",
	9300: "Elasticsearch", 10250: "the kubelet", 11211: "memcached", 15672: "RabbitMQ's administration",
	27017: "MongoDB", 50000: "Db2",
}

// openPorts finds sensitive ports that a policy opens to everybody, and those that it opens to
// everybody except a few.
func (l *linter) openPorts(p *schema.Policy, d [2]*deciding) {
	found := sensitivePorts(p)
	if found == "" {
		return
	}
	if l.letsEverybodyIn(p, d) {
		l.add(p, Finding{Code: "SW007", Hint: true, Summary: "A database or admin port open to everybody", At: p.Range,
			Detail: fmt.Sprintf("Everybody may reach port %s. %s", found, saySo("SW007"))})
		return
	}
	for _, r := range p.Rules {
		if open := l.allowsAny(r); open != "" {
			l.add(p, Finding{Code: "SW011", Summary: "A database or admin port open to everybody except a few", At: r.Range,
				Detail: fmt.Sprintf("This block allows every %s address to reach port %s, except those that its except or an earlier block names. Name who may reach it. %s", open, found, saySo("SW011"))})
			return
		}
	}
}

// saySo shows how to silence a finding, in a form that can be copied.
func saySo(code string) string {
	return "If that is intended, say why on the line above:\n\n  # seawall:ignore " + code + " REASON"
}

// allowsAny names the families of which a block allows every address, not counting its except;
// "" for none.
func (l *linter) allowsAny(r *schema.Rule) string {
	if r.Verdict != schema.Pass && r.Verdict != schema.Accept {
		return ""
	}
	var families []string
	for i, resolve := range l.resolve {
		if r.Sources.Any || resolve.Sources(r.Sources).Equal(resolve.Every()) {
			families = append(families, []string{"IPv4", "IPv6"}[i])
		}
	}
	return strings.Join(families, " and ")
}

// sensitivePorts are the sensitive ports of a policy, in words; "" for none.
func sensitivePorts(p *schema.Policy) string {
	var found []string
	for _, port := range slices.Sorted(maps.Keys(sensitive)) {
		if slices.ContainsFunc(p.Ports, func(r schema.Ports) bool {
			return r.Protocol == schema.TCP && int(r.First) <= port && port <= int(r.Last)
		}) {
			found = append(found, fmt.Sprintf("%d (%s)", port, sensitive[port]))
		}
	}
	const most = 5
	if len(found) > most {
		found = append(found[:most], fmt.Sprintf("and %d more", len(found)-most))
	}
	return strings.Join(found, ", ")
}

// letsEverybodyIn reports whether a policy's ports are open to all of a family, except for what
// the guard denies.
func (l *linter) letsEverybodyIn(p *schema.Policy, d [2]*deciding) bool {
	for f, r := range l.resolve {
		denied := false
		sets := []address.Set{l.guard[f].sources}
		for i, b := range d[f].blocks {
			sets = append(sets, b.without)
			deny := b.rule.Verdict == schema.Deny || b.rule.Verdict == schema.Reject
			denied = denied || deny && !d[f].idle(i)
		}
		open := p.Default == schema.Pass || address.UnionOf(sets...).Equal(r.Every())
		if open && !denied {
			return true
		}
	}
	return false
}

// oneFamily finds policies for both families whose allow blocks name only one.
func (l *linter) oneFamily(p *schema.Policy) {
	if len(p.Address) > 0 || p.Default == schema.Pass {
		return
	}
	var four, six, any bool
	for _, rule := range p.Rules {
		if rule.Verdict == schema.Pass || rule.Verdict == schema.Accept {
			any = true
			four = four || !address.Empty(l.resolve[0].Sources(rule.Sources))
			six = six || !address.Empty(l.resolve[1].Sources(rule.Sources))
		}
	}
	if !any || four == six {
		return
	}
	named, other := "IPv4", "IPv6"
	if six {
		named, other = other, named
	}
	l.add(p, Finding{Code: "SW008", Hint: true, Summary: "A policy that allows only one address family", At: p.Range,
		Detail: fmt.Sprintf("All allowed sources are %s addresses, so every %s client is denied. For a client that has both, allow both addresses.", named, other)})
}
