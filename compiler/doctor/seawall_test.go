package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/nftables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// seawallTable is a table as nft lists one of Seawall's.
const seawallTable = `table inet seawall {
	set office {
		typeof ip saddr
		flags interval
		elements = { 10.8.0.0/16, 10.9.0.1 }
	}
	chain forward {
		type filter hook forward priority filter - 5; policy accept;
		iifname "eth0" goto forward_outside
	}
	chain forward_outside {
		meta l4proto tcp ct direction original ct original proto-dst 8080 goto policy_web
		ct direction reply accept
		drop
	}
	chain policy_web {
		ip saddr @office accept
		drop
	}
	chain input {
		type filter hook input priority filter - 5; policy accept;
		iifname "eth0" goto input_outside
	}
	chain input_outside {
		meta l4proto tcp ct direction original ct original proto-dst 8080 goto policy_web
		meta l4proto udp ct direction original ct original proto-dst 5353 drop
	}
}
`

// besideHost is a host with Docker 20.10's rules of iptables, and tables of nft beside them.
func besideHost(t *testing.T, nft string, facts Facts) *Host {
	t.Helper()
	h := &Host{Interfaces: []string{"eth0"}, Facts: facts}
	for f, name := range map[packet.Family]string{packet.IPv4: "iptables-save", packet.IPv6: "ip6tables-save"} {
		src, err := os.ReadFile("../../testdata/captures/engine-20.10-two-networks." + name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := iptables.Parse(src, iptables.Options{Family: f})
		if err != nil {
			t.Fatal(err)
		}
		h.Families = append(h.Families, docker.TablesOf(file).Beside(nftFile(t, nft), file))
	}
	return h
}

// A port whose packets another table hides from conntrack is open over docker-proxy in spite
// of Docker's DNAT, and a rule that asks conntrack for the port would not close it.
func TestHiddenFromConntrack(t *testing.T) {
	src := strings.Replace(capture(t, "engine-29-published-8080.iptables-save"), "-A FORWARD -j DOCKER-USER\n",
		"-A FORWARD -j DOCKER-USER\n-A DOCKER-USER ! -s 10.8.0.0/16 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP\n", 1)
	file, err := iptables.Parse([]byte(src), iptables.Options{Family: packet.IPv4})
	if err != nil {
		t.Fatal(err)
	}
	for statement, found := range map[string]bool{"tcp dport 8080 notrack": true, "tcp dport 22 notrack": false} {
		hidden := nftFile(t, "table ip raw2 {\n\tchain pre {\n\t\ttype filter hook prerouting priority raw; policy accept;\n\t\t"+statement+"\n\t}\n}\n")
		h := &Host{Interfaces: []string{"eth0"}, Families: []docker.Tables{docker.TablesOf(file).Beside(hidden, file)}}
		list := Run(context.Background(), h, prove.Limits{})
		if (len(list) == 1) != found || found && (list[0].Code != "SD005" || len(list[0].Fix) > 0 || !strings.Contains(list[0].Advice, "look for notrack")) {
			t.Errorf("%s:\n%s", statement, Text(list))
		}
	}
}

// The table is missing where the unit loads it, or is not the one that the unit loads.
func TestSeawallTable(t *testing.T) {
	unit := func(text string) Facts {
		u := &Unit{Path: "/etc/seawall/seawall.nft"}
		if text == "" {
			u.Why = "open /etc/seawall/seawall.nft: no such file or directory"
		} else {
			u.File = nftFile(t, text)
		}
		return Facts{Unit: u}
	}
	without := func(text string) string { return strings.Replace(seawallTable, text, "", 1) }
	for _, x := range []struct {
		what, nft string
		facts     Facts
		want      string // "" for none
	}{
		{"as loaded", seawallTable, unit(seawallTable), ""},
		{"no unit", seawallTable, Facts{}, ""},
		{"missing, no unit", "", Facts{}, ""},
		{"missing", "", unit(seawallTable), "SD018: the table inet seawall is missing\n"},
		{"missing, applied", "", Facts{Applied: true}, "why     seawall apply has loaded it since the last boot, and something has deleted it"},
		{"an element of a set", without(", 10.9.0.1"), unit(seawallTable), "traffic some of what the file lets in: denied now\n"},
		{"another element", seawallTable, unit(without(", 10.9.0.1")), "traffic some of what the file denies: let in now\n"},
		{"a rule", without("\t\tmeta l4proto udp ct direction original ct original proto-dst 5353 drop\n"), unit(seawallTable), "SD018: the table inet seawall is not the one that seawall.service loads\n"},
		{"the unit's file", seawallTable, unit(""), "SD018: seawall.service cannot load /etc/seawall/seawall.nft\n"},
		{"a set that no rule asks for", strings.Replace(seawallTable, "ip saddr @office accept", "accept", 1), Facts{}, "SD018: the table inet seawall is incomplete: no rule asks for its set office\n"},
		{"dormant", strings.Replace(seawallTable, "{\n", "{\n\tflags dormant\n", 1), Facts{}, "SD018: the table inet seawall is incomplete: it is dormant"},
	} {
		t.Run(x.what, func(t *testing.T) {
			var found []string
			for _, f := range Run(context.Background(), besideHost(t, x.nft, x.facts), prove.Limits{}) {
				if f.Code == "SD018" {
					found = append(found, Text([]Finding{f}))
				}
			}
			text := strings.Join(found, "\n")
			if len(found) > 1 || x.want == "" && text != "" || !strings.Contains(text, x.want) {
				t.Errorf("want %q\n%s", x.want, text)
			}
		})
	}
}

// What suits a live host, said where no policy is loaded.
func TestSuits(t *testing.T) {
	other := "table inet mine {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n"
	for _, x := range []struct {
		what, nft string
		facts     Facts
		want      string
	}{
		{"iptables", other, Facts{Live: true}, "this host is iptables: Docker's rules are those of iptables"},
		{"firewalld", other, Facts{Live: true, Active: map[string]bool{"firewalld": true}}, "this host is nftables: firewalld is active"},
		{"no iptables", other, Facts{Live: true, NoIPTables: true}, "this host is nftables: the host has no iptables"},
		{"a policy", seawallTable, Facts{Live: true}, ""},
	} {
		text := strings.Join(Notes(context.Background(), besideHost(t, x.nft, x.facts), prove.Limits{}), "\n")
		if !strings.Contains(text, x.want) || x.want == "" && strings.Contains(text, "suits") {
			t.Errorf("%s: want %q\n%s", x.what, x.want, text)
		}
	}
}

// Of a live host whose Docker says that it uses its nftables backend, the tables decide: there is
// nothing to report while they are there, they are missing when nft shows none, and only when nft
// could not be read is that backend itself a finding.
func TestLiveNFTBackend(t *testing.T) {
	facts := Facts{Live: true, Daemon: true, DaemonJSON: []byte(`{"firewall-backend": "nftables"}`), Forwarding: map[int]bool{4: true}}
	known := &docker.Known{Nftables: true}
	with := func(nft *nftables.File) []Finding {
		h := &Host{Interfaces: []string{"eth0"}, Facts: facts}
		for _, f := range packet.Families {
			h.Families = append(h.Families, docker.Tables{Family: f, NFT: nft, Known: known})
		}
		return Run(context.Background(), h, prove.Limits{})
	}
	if found := with(nftFile(t, nftCapture(t))); len(found) > 0 {
		t.Errorf("healthy: %s", Text(found))
	}
	if text := Text(with(&nftables.File{})); !strings.HasPrefix(text, "SD001: Docker is running, but none of its tables exist\n") || strings.Count(text, "SD0") != 1 {
		t.Errorf("no tables: %s", text)
	}
	if text := Text(with(nil)); !strings.HasPrefix(text, "SD013: Docker uses its nftables backend\n") {
		t.Errorf("nft was not read: %s", text)
	}
	facts.Forwarding[4] = false
	if text := Text(with(nftFile(t, nftCapture(t)))); !strings.Contains(text, "SD014") || !strings.Contains(text, "which Docker does not enable") {
		t.Errorf("forwarding: %s", text)
	}
}

// Where Docker uses its nftables backend, rules of Seawall in iptables are needless beside its
// table, and the note has the commands that remove them. Without the table they are a finding: they
// are gone after a reboot.
func TestBothFormats(t *testing.T) {
	const filter = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:SEAWALL-INPUT - [0:0]\n"
	for _, x := range []struct{ rules, want string }{
		{"-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -i eth0 -j DROP\n", "and the same with ip6tables: iptables -D INPUT -j SEAWALL-INPUT; iptables -F SEAWALL-INPUT; iptables -F DOCKER-USER. The last removes all rules there, other people's too."},
		{":SEAWALL-FORWARD - [0:0]\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j SEAWALL-FORWARD\n-A SEAWALL-FORWARD -i eth0 -j DROP\n", "iptables -F SEAWALL-INPUT; iptables -D DOCKER-USER -j SEAWALL-FORWARD; iptables -F SEAWALL-FORWARD."},
	} {
		for table, code := range map[string]string{seawallTable: "", "": "SD013: DOCKER-USER has rules, and Docker uses its nftables backend, for IPv4\n"} {
			h := &Host{Interfaces: []string{"eth0"}}
			for _, f := range packet.Families {
				file, err := iptables.Parse([]byte(filter+x.rules+"COMMIT\n"), iptables.Options{Family: f})
				if err != nil {
					t.Fatal(err)
				}
				h.Families = append(h.Families, docker.TablesOf(file).Beside(nftFile(t, nftCapture(t)+table), file))
			}
			text := Text(Run(context.Background(), h, prove.Limits{}))
			notes := strings.Join(Notes(context.Background(), h, prove.Limits{}), "\n")
			if strings.Contains(text, "SD013") != (code != "") || !strings.Contains(text, code) || strings.Contains(notes, x.want) != (code == "") {
				t.Errorf("want %q, %q\n%s\n%s", code, x.want, text, notes)
			}
		}
	}
}

// No table that compile writes is taken for an incomplete one.
func TestCompiledTablesAreWhole(t *testing.T) {
	names, _ := filepath.Glob("../../examples/*/compiled/*.nft") // the pattern is right
	if len(names) < 5 {
		t.Fatalf("only %d tables", len(names))
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table := nftFile(t, string(src)).Table(nftables.Inet, nftables.TableName)
		if parts := lacking(table); len(parts) > 0 {
			t.Errorf("%s: %s", name, strings.Join(parts, "; "))
		}
	}
	// That of a policy that denies nothing.
	empty := "table inet seawall {\n\tchain forward {\n\t\ttype filter hook forward priority filter - 5; policy accept;\n\t}\n}\n"
	if parts := lacking(nftFile(t, empty).Tables[0]); len(parts) > 0 {
		t.Error(parts)
	}
}
