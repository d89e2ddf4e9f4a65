//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// liveHost is a host without an engine whose kernel holds the rules of one.
type liveHost struct {
	*Namespace
	t   *testing.T
	env []string
}

func newLiveHost(t *testing.T, b Backend) *liveHost {
	t.Helper()
	Need(t, "nft")
	h := &liveHost{Namespace: NewNamespace(t, "host"), t: t}
	h.Sysctl("net.ipv4.ip_forward=1")
	h.env = append(os.Environ(), "NO_COLOR=1", "DOCKER_HOST=unix:///nonexistent", "XTABLES_LOCKFILE="+filepath.Join(t.TempDir(), "lock"),
		"IPTABLES=iptables-"+string(b), "IP6TABLES=ip6tables-"+string(b))
	return h
}

// run runs a program with the host's environment, and returns what it prints to standard output.
func (h *liveHost) run(stdin []byte, program string, args ...string) (string, error) {
	c := h.Command(program, args...)
	var said bytes.Buffer
	c.Env, c.Stdin, c.Stderr = h.env, bytes.NewReader(stdin), &said
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return string(out), err
}

func (h *liveHost) must(stdin []byte, program string, args ...string) string {
	h.t.Helper()
	out, err := h.run(stdin, program, args...)
	if err != nil {
		h.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return out
}

// capture loads the rules of a captured host; name is that of its files without the endings.
func (h *liveHost) capture(b Backend, name string) {
	h.t.Helper()
	for command, ending := range map[string]string{"iptables-" + string(b) + "-restore": ".iptables-save", "ip6tables-" + string(b) + "-restore": ".ip6tables-save"} {
		src, err := os.ReadFile("../../../testdata/captures/" + name + ending)
		if err != nil {
			h.t.Fatal(err)
		}
		h.must(src, command)
	}
}

// nft loads a text.
func (h *liveHost) nft(text string) { h.t.Helper(); h.must([]byte(text), "nft", "-f", "-") }

// dockerNFT loads the tables of Docker's nftables back end.
func (h *liveHost) dockerNFT() {
	h.t.Helper()
	src, err := os.ReadFile("../../../testdata/captures/engine-29-nftables-modes.nft")
	if err != nil {
		h.t.Fatal(err)
	}
	h.nft(string(src))
}

// compiled is a policy in a format that is written to standard output, or the script.
func (h *liveHost) compiled(policy, format string) []byte {
	h.t.Helper()
	dir := h.t.TempDir()
	path := filepath.Join(dir, "policy.hcl")
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return []byte(h.must(nil, mustSeawall(h.t), "compile", path, "--format", format))
}

// doctor is what doctor says of the host, and whether it is healthy.
func (h *liveHost) doctor() (said string, healthy bool) {
	h.t.Helper()
	out, err := h.run(nil, mustSeawall(h.t), "doctor", "--in", "eth0")
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 2) {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return out, err == nil
}

// livePolicy names all ports of the captures. More than a few ports are a map.
const livePolicy = `
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "narrow" {
  ports = [8080, 8000, "8001-8003", 8443, 9000, 9100, 9200, "53/udp", "5353/udp", 5432, 5433, 6443, 8081, 8082]
  allow { sources = ["10.8.0.0/16", "10.9.0.0/24", "10.10.0.0/20"] }
}
policy "other" {
  ports = [9999]
  allow { sources = ["10.0.0.1"] }
}
`

// Live, a healthy host has no findings: each back end of iptables, with the rules of several
// engines, without a policy, with one in each format, in both, and with what a reload left over.
// What a note says is in the output of each.
func TestLiveHealthy(t *testing.T) {
	t.Parallel()
	bridge := func(src []byte) string {
		return strings.NewReplacer("table inet seawall", "table inet seawall-next", "filter - 5;", "filter - 4;").Replace(string(src))
	}
	for _, own := range []struct{ formats, note string }{
		{"", "no policy is loaded here. The format that suits this host is iptables"},
		{"shell", ""},
		{"nftables", ""},
		{"shell nftables", "the host has Seawall's rules in both formats, iptables and nftables. That is safe, and needless: a packet has to pass both. Keep one; to remove the table: nft delete table inet seawall."},
		{"nftables next", "the table inet seawall-next is left over from a reload that did not end, unless one is running now. It is harmless, and at most stricter than the policy. Delete it: nft delete table inet seawall-next."},
	} {
		for i, engine := range []string{"engine-20.10-two-networks", "engine-28.5-modes", "engine-29-modes", "nftables"} {
			b := Backends[(i+len(own.formats))%len(Backends)]
			t.Run(engine+"/"+string(b)+"/"+own.formats, func(t *testing.T) {
				if !*long && (i+len(own.note))%3 > 0 {
					t.Skip("a short run takes a third")
				}
				t.Parallel()
				h := newLiveHost(t, b)
				note := own.note
				switch {
				case engine != "nftables":
					h.capture(b, engine)
				case strings.Contains(own.formats, "shell"):
					t.Skip("there is no DOCKER-USER")
				default:
					h.dockerNFT()
					note = strings.Replace(note, "is iptables", "is nftables: Docker uses its nftables backend, which has no DOCKER-USER.", 1)
				}
				for _, format := range strings.Fields(own.formats) {
					switch format {
					case "shell":
						h.must(h.compiled(livePolicy, "shell"), "sh")
					case "nftables":
						h.nft(string(h.compiled(livePolicy, "nftables")))
					case "next":
						h.nft(bridge(h.compiled(livePolicy, "nftables")))
					}
				}
				said, healthy := h.doctor()
				if !healthy || !strings.Contains(said, note) {
					t.Errorf("want %s\n%s", note, said)
				}
				for _, word := range []string{"both formats", "no policy is loaded", "seawall-next", "cannot be read", "not read"} {
					if strings.Contains(said, word) && !strings.Contains(note, word) {
						t.Errorf("%s\n%s", word, said)
					}
				}
			})
		}
	}
}

// Live, each of these deletions is found, and each drop of a table that containers cannot do with.
func TestLiveFindings(t *testing.T) {
	t.Parallel()
	for i, x := range []struct{ what, engine, command, want string }{
		{"the jump to DOCKER-USER", "engine-28.5-modes", "iptables-nft -D FORWARD -j DOCKER-USER", "SD002: a Docker rule is missing: -A FORWARD -j DOCKER-USER\n"},
		{"a base chain of Seawall's", "engine-28.5-modes", "nft 'flush chain inet seawall forward; delete chain inet seawall forward'", "SD018: the table inet seawall is incomplete: it has no base chain at forward; nothing leads to its chain forward_outside"},
		{"the base chain at input", "engine-28.5-modes", "nft 'flush chain inet seawall input; delete chain inet seawall input'", "SD018: the table inet seawall is incomplete: nothing leads to its chain input_outside"},
		{"the rules of a base chain", "nftables", "nft flush chain inet seawall input", "SD018: the table inet seawall is incomplete: its base chain input has no rules; nothing leads to its chain input_outside"},
		{"an element of Seawall's map", "engine-28.5-modes", "nft delete element inet seawall tcp_ports '{ 9999 }'", "SD018: the table inet seawall is incomplete: nothing leads to its chain policy_other"},
		{"dormant", "engine-28.5-modes", "nft add table inet seawall '{ flags dormant; }'", "SD018: the table inet seawall is incomplete: it is dormant"},
		{"a table of Docker's", "nftables", "nft delete table ip docker-bridges", "SD001: Docker's table ip docker-bridges is missing"},
		{"the other table of Docker's", "nftables", "nft delete table ip6 docker-bridges", "SD001: Docker's table ip6 docker-bridges is missing"},
		{"a base chain of Docker's", "nftables", "nft 'flush chain ip docker-bridges filter-FORWARD; delete chain ip docker-bridges filter-FORWARD'", "SD001: missing in Docker's table ip docker-bridges"},
		{"an element of Docker's map", "nftables", "nft delete element ip docker-bridges filter-forward-in-jumps '{ \"docker0\" }'", "SD002: missing in Docker's table ip docker-bridges: the element of docker0"},
		{"a table that cuts replies", "engine-28.5-modes", "nft -f - <<. \ntable inet mine {\nchain f {\ntype filter hook forward priority 10; policy accept;\niifname \"eth0\" drop\n}\n}\n.", "SD017: table inet mine cuts traffic of containers: iifname \"eth0\" drop"},
		{"a policy that an engine left", "nftables", "iptables-nft -P FORWARD DROP", "SD013: FORWARD's policy in iptables is still DROP for IPv4"},
		{"a port that docker-proxy opens", "engine-20.10-two-networks", "nft flush chain inet seawall input_outside", "SD005: the published port 8080/tcp is restricted over DNAT, but open to everybody through docker-proxy"},
	} {
		t.Run(x.what, func(t *testing.T) {
			if !*long && i%3 > 0 {
				t.Skip("a short run takes a third")
			}
			t.Parallel()
			h := newLiveHost(t, NFT)
			if x.engine == "nftables" {
				h.dockerNFT()
			} else {
				h.capture(NFT, x.engine)
			}
			h.nft(string(h.compiled(livePolicy, "nftables")))
			h.must(nil, "sh", "-ec", x.command)
			if said, healthy := h.doctor(); healthy || !strings.Contains(said, x.want) {
				t.Errorf("want %s\n%s", x.want, said)
			}
		})
	}
}

// Without nft the tables of nftables are not seen, and both commands say so and what to do.
func TestLiveWithoutNFT(t *testing.T) {
	t.Parallel()
	h := newLiveHost(t, NFT)
	h.capture(NFT, "engine-20.10-two-networks")
	h.env = append(h.env, "NFT=no-such-nft")
	said, healthy := h.doctor()
	const want = "Note: the tables of nftables were not read, and what they drop is not seen: no-such-nft is not installed here; NFT of the environment names it. Install nftables, and run this again.\n"
	if !healthy || !strings.Contains(said, want) || strings.Contains(said, "no policy is loaded") {
		t.Error(said)
	}
	if out := h.must(nil, mustSeawall(t), "exposure", "--in", "eth0"); !strings.Contains(out, want) {
		t.Error(out)
	}
}

// A host without iptables is read by nft alone, and one whose other back end has rules too is read
// by both.
func TestLiveBackends(t *testing.T) {
	t.Parallel()
	h := newLiveHost(t, NFT)
	h.dockerNFT()
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Fatal(err)
	}
	alone := t.TempDir()
	if err := os.Symlink(nft, filepath.Join(alone, "nft")); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "IPTABLES=", "IP6TABLES=", "PATH="+alone)
	if said, healthy := h.doctor(); !healthy || !strings.Contains(said, "suits this host is nftables") {
		t.Error(said)
	}
	h = newLiveHost(t, NFT)
	h.capture(NFT, "engine-20.10-two-networks")
	h.must(nil, "iptables-legacy", "-A", "FORWARD", "-p", "tcp", "-d", "172.17.0.2", "-j", "DROP")
	if said, healthy := h.doctor(); healthy || !strings.Contains(said, "SD012: the legacy backend of iptables has rules as well") {
		t.Error(said)
	}
	if out := h.must(nil, mustSeawall(t), "exposure", "--in", "eth0"); !strings.Contains(out, "8080/tcp → 172.17.0.2:80 on docker0\n  eth0, IPv4, over DNAT: nobody\n") {
		t.Error(out)
	}
}

// Who reaches ten ports of a host with Docker 20.10, the table inet seawall, and tables of others,
// worked out by hand: a drop anywhere is final, and an accept is not.
//
//	8001  nobody drops it
//	8002  the table allows it; DOCKER-USER drops it. IPv6 never comes to DOCKER-USER
//	8003  DOCKER-USER returns; the table does not name it, and denies it at forward alone
//	8004  the table lets in 10.8.0.0/16, of which DOCKER-USER drops 10.8.1.0/24
//	8005  the table inet mine drops 192.0.2.0/24 at forward, after Docker's rules
//	8006  the mangle table of iptables drops 10.0.0.0/8
//	8007  a chain of nft drops it before conntrack, in both families
//	8008  a table ip6 drops it at input
//	8009  the other back end of iptables drops it
//	8080  the table lets in 10.8.0.0/16, and drops the rest at input as well
func TestLiveExposure(t *testing.T) {
	t.Parallel()
	h := newLiveHost(t, NFT)
	h.capture(NFT, "engine-20.10-two-networks")
	for port := 8001; port <= 8009; port++ {
		to := fmt.Sprintf("172.17.0.%d", port-8000+10)
		h.must(nil, "sh", "-ec", fmt.Sprintf(`iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport %d -j DNAT --to-destination %s:80
iptables-nft -t nat -A POSTROUTING -s %[2]s/32 -d %[2]s/32 -p tcp -m tcp --dport 80 -j MASQUERADE
iptables-nft -A DOCKER -d %[2]s/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT`, port, to))
	}
	h.must(nil, "sh", "-ec", `iptables-nft -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8002 --ctdir ORIGINAL -j DROP
iptables-nft -I DOCKER-USER -s 10.8.1.0/24 -i eth0 -p tcp -m conntrack --ctorigdstport 8004 --ctdir ORIGINAL -j DROP
iptables-nft -t mangle -A PREROUTING -s 10.0.0.0/8 -i eth0 -p tcp -m tcp --dport 8006 -j DROP
iptables-legacy -A FORWARD -d 172.17.0.19/32 -p tcp -m tcp --dport 80 -j DROP`)
	h.nft(`table inet mine {
	chain late {
		type filter hook forward priority 10; policy accept;
		ip saddr 192.0.2.0/24 ip daddr 172.17.0.15 tcp dport 80 drop
	}
	chain early {
		type filter hook prerouting priority raw; policy accept;
		tcp dport 8007 drop
	}
}
table ip6 six {
	chain in {
		type filter hook input priority 0; policy accept;
		tcp dport 8008 drop
		accept
	}
}
`)
	h.nft(string(h.compiled(`
host {
  external = ["eth0"]
  unlisted = "deny"
}
policy "everybody" {
  ports = [8001, 8002, 8005, 8006, 8007, 8008, 8009]
  allow { sources = any }
}
policy "narrow" {
  ports = [8004, 8080]
  allow { sources = ["10.8.0.0/16"] }
}
`, "nftables")))
	out := h.must(nil, mustSeawall(t), "exposure", "--in", "eth0")
	for _, want := range []string{
		"8001/tcp → 172.17.0.11:80 on docker0\n! eth0, IPv4, over DNAT: everybody\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8002/tcp → 172.17.0.12:80 on docker0\n  eth0, IPv4, over DNAT: nobody\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8003/tcp → 172.17.0.13:80 on docker0\n  eth0, IPv4, over DNAT: nobody\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8004/tcp → 172.17.0.14:80 on docker0\n  eth0, IPv4, over DNAT: 10.8.0.0/16 except 10.8.1.0/24\n  eth0, IPv6, over docker-proxy: nobody\n",
		"8005/tcp → 172.17.0.15:80 on docker0\n  eth0, IPv4, over DNAT: everybody except 192.0.2.0/24\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8006/tcp → 172.17.0.16:80 on docker0\n  eth0, IPv4, over DNAT: everybody except 10.0.0.0/8\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8007/tcp → 172.17.0.17:80 on docker0\n  eth0, IPv4, over DNAT: nobody\n  eth0, IPv6, over docker-proxy: nobody\n",
		"8008/tcp → 172.17.0.18:80 on docker0\n! eth0, IPv4, over DNAT: everybody\n  eth0, IPv6, over docker-proxy: nobody\n",
		"8009/tcp → 172.17.0.19:80 on docker0\n  eth0, IPv4, over DNAT: nobody\n! eth0, IPv6, over docker-proxy: everybody\n",
		"8080/tcp → 172.17.0.2:80 on docker0\n  eth0, IPv4, over DNAT: 10.8.0.0/16\n  eth0, IPv6, over docker-proxy: nobody\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want\n%s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}
