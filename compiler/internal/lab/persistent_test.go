//go:build linux

package lab

import (
	"context"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// ownRules are the rules of a host that has some.
const ownRules = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 9100 -j ACCEPT
-A INPUT -j DROP
COMMIT
`

// ownRules4 are those of IPv4.
func ownRules4() string { return strings.Replace(ownRules, "-A INPUT -p ipv6-icmp -j ACCEPT\n", "", 1) }

// bootFiles are the host's own rules with the policy spliced in, one file a family.
func (h *managed) bootFiles() (four, six string) {
	h.t.Helper()
	out, err := compiler.Compile(context.Background(), h.doc, compiler.Options{Format: emit.Sysconfig, Source: "policy.hcl", Base4: []byte(ownRules4()), Base6: []byte(ownRules)})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range out.Files {
		if f.Families[0] == packet.IPv4 {
			four = string(f.Bytes)
		} else {
			six = string(f.Bytes)
		}
	}
	return four, six
}

// netfilter-persistent, with the host's own rules in the same files.
func TestNetfilterPersistent(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		h := newManaged(t, "netfilter-persistent", "iptables-persistent", e, b, managedOptions{})
		const defaults = "/etc/default/netfilter-persistent"
		shipped := h.read(defaults)
		h.write("/etc/iptables/rules.v4", ownRules4(), 0o640)
		h.write("/etc/iptables/rules.v6", ownRules, 0o640)
		h.install("debian")
		h.boot(func() { h.unit("netfilter-persistent.service", "ExecStart") })
		h.must("iptables", "-P", "FORWARD", "DROP") // as Docker does where it switches forwarding on
		h.closed("reload", func() {
			for range times(5) {
				h.must("netfilter-persistent", "reload")
			}
		})
		if policy := h.must("iptables", "-S", "FORWARD"); !strings.Contains(policy, "-P FORWARD DROP\n") {
			t.Errorf("a reload changes the policy of FORWARD:\n%s", policy)
		}
		if !*long {
			return
		}
		h.closed("save and reload", func() {
			h.must("netfilter-persistent", "save")
			h.must("netfilter-persistent", "reload")
		})
		h.closed("restart of Docker", h.restartDocker)
		// With the settings and the file as they are otherwise, Docker's rules are gone after
		// a reload, and denied sources stay out.
		h.write(defaults, shipped, 0o644)
		h.must("iptables", "-P", "FORWARD", "ACCEPT")
		h.sysconfig("/etc/iptables/rules.v4", "/etc/iptables/rules.v6")
		h.shut("reload that flushes", func() {
			for range 20 {
				h.must("netfilter-persistent", "reload")
			}
		})
		h.loses("reload that flushes")
		h.closed("reload that flushes, and restart of Docker", h.restartDocker)
		// What save writes holds Docker's rules: after a boot each is there twice.
		h.must("netfilter-persistent", "save")
		if saved := h.read("/etc/iptables/rules.v4"); !strings.Contains(saved, "DNAT") {
			t.Errorf("save leaves Docker's rules out:\n%s", saved)
		}
	})
}

// sysconfig puts the policy on the host: files that are loaded with a flush.
func (h *managed) sysconfig(path4, path6 string) {
	h.t.Helper()
	four, six := h.bootFiles()
	h.write(path4, four, 0o600)
	h.write(path6, six, 0o600)
}

// loses demands that Docker's own rules are gone, which the documentation warns of.
func (h *managed) loses(event string) {
	h.t.Helper()
	if len(h.dockersRules()["IPv4 filter"]) != 0 {
		h.t.Errorf("%s: Docker's rules are still there, and the documentation says that they are not", h.scenario(event))
	}
	h.both(h.scenario(event), event)
}

// service is a distribution's service that loads a file of iptables-save with a flush. The
// scripts do what the distribution's do, and no more; what they flush are the tables that
// the kernel lists in /proc, where those of iptables-nft are not.
type service struct {
	name, system, four, six string
	reload, restart         string // of one family: $1 is iptables or ip6tables, $2 its file
}

const (
	loadFile    = `$1-restore <"$2"` + "\n"
	flushTables = `for t in $(cat /proc/net/${1%tables}_tables_names); do $1 -t "$t" -F; $1 -t "$t" -X; done` + "\n"
	openTables  = `for t in $(cat /proc/net/${1%tables}_tables_names); do
	for c in $($1 -t "$t" -S | sed -n "s/^-P \([A-Z]*\) .*/\1/p"); do $1 -t "$t" -P "$c" ACCEPT; done
done
`
	loadEmpty = `for t in $(cat /proc/net/${1%tables}_tables_names); do
	printf "*%s\nCOMMIT\n" "$t"
done | $1-restore
`
)

var services = []service{
	{"iptables-services of RHEL", "rhel", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables", loadFile, openTables + flushTables + loadFile},
	{"iptables of Arch", "arch", "/etc/iptables/iptables.rules", "/etc/iptables/ip6tables.rules", loadFile, loadEmpty + loadFile},
	{"iptables of Alpine", "alpine", "/etc/iptables/rules-save", "/etc/iptables/rules6-save", flushTables + loadFile, openTables + flushTables + loadFile},
}

// serviceFiles puts the host's own rules into a service's files, and the policy beside them.
func (h *managed) serviceFiles(s service) {
	h.t.Helper()
	h.write(s.four, ownRules4(), 0o600)
	h.write(s.six, ownRules, 0o600)
	for _, name := range []string{"iptables", "ip6tables"} {
		h.write("/etc/conf.d/"+name, "SAVE_ON_STOP=\"yes\"\n", 0o644)
	}
	h.install(s.system)
}

// Services that load a file with a flush: a boot is closed. A reload or restart takes
// Docker's rules, and where it flushes first, opens; a table of nft closes that.
func TestIPTablesServices(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		for _, s := range services {
			if *long || s.name == services[0].name {
				t.Run(s.name, func(t *testing.T) { iptablesService(t, s, e, b) })
			}
		}
	})
}

func iptablesService(t *testing.T, s service, e Engine, b Backend) {
	h := newManaged(t, s.name, "nftables", e, b, managedOptions{})
	h.serviceFiles(s)
	run := func(script string) {
		h.t.Helper()
		h.must("sh", "-c", script, "service", "iptables", s.four)
		h.must("sh", "-c", script, "service", "ip6tables", s.six)
	}
	h.boot(func() { run(loadFile) })
	if !*long {
		h.shut("reload", func() { run(s.reload) })
		h.loses("reload")
		return
	}
	flushes := func(script string) bool { return b == Legacy && script != loadFile }
	repeated := func(script string) func() {
		return func() {
			for range 20 {
				run(script)
			}
		}
	}
	for _, x := range []struct{ event, script string }{{"reload", s.reload}, {"restart", s.restart}} {
		if flushes(x.script) {
			h.opens(x.event, repeated(x.script))
			break // those who got in have connections, and the next event would meet them
		}
		h.shut(x.event, repeated(x.script))
		h.loses(x.event)
		h.closed("restart of Docker after a "+x.event, h.restartDocker)
	}
	// A table of nft stays. Where the rules of nat are flushed, a port that no policy names
	// is open through docker-proxy until Docker is restarted.
	h = newManaged(t, s.name+" with a table of nft", "nftables", e, b, managedOptions{table: true, chains: true})
	h.serviceFiles(s)
	h.install("nftables")
	h.boot(func() {
		run(loadFile)
		h.unit(emit.UnitName, "ExecStart")
	})
	for _, x := range []struct{ event, script string }{{"reload", s.reload}, {"restart", s.restart}} {
		var but []string
		if flushes(x.script) {
			but = []string{notNamed}
		}
		h.shut(x.event, repeated(x.script), but...)
		h.closed("restart of Docker after a "+x.event, h.restartDocker, but...)
	}
}
