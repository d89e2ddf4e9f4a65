package system

import (
	"slices"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/emit"
)

// os-release files as the distributions ship them, shortened.
const (
	debian   = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"
	ubuntu   = "ID=ubuntu\nID_LIKE=debian\n"
	rocky    = "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"
	fedora   = "ID=fedora\n"
	alpine   = "ID=alpine\n"
	arch     = "ID=arch\n"
	manjaro  = "ID=manjaro\nID_LIKE=arch\n"
	leap     = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"
	nixos    = "ID=nixos\n"
	misnamed = "ID=mine\nPRETTY_NAME=\"ID=alpine\"\n#ID=arch\n"
)

func TestOf(t *testing.T) {
	for _, test := range []struct {
		os, units string
		ufw, nft  bool
		want      string
	}{
		{debian, "netfilter-persistent", false, false, "debian"},
		{debian, "", false, false, "nftables"},
		{debian, "", true, false, "ufw"},
		{debian, "netfilter-persistent", true, false, "ufw"},
		{debian, "netfilter-persistent", false, true, "nftables"},
		{debian, "", true, true, "nftables"},
		{debian, "firewalld netfilter-persistent", true, false, "firewalld"},
		{ubuntu, "netfilter-persistent", false, false, "ubuntu"},
		{ubuntu, "", true, false, "ufw"},
		{rocky, "iptables", false, false, "rhel"},
		{fedora, "iptables", false, false, "rhel"},
		{rocky, "", false, false, "nftables"},
		{rocky, "firewalld", false, false, "firewalld"},
		{rocky, "firewalld", false, true, "firewalld"},
		{alpine, "", false, false, "alpine"},
		{alpine, "", false, true, "nftables"},
		{arch, "iptables", false, false, "arch"},
		{manjaro, "iptables", false, false, "arch"},
		{arch, "", false, false, "nftables"},
		{leap, "firewalld", false, false, "opensuse"},
		{leap, "", false, false, "opensuse"},
		{nixos, "", false, false, "nixos"},
		{misnamed, "iptables", false, false, "nftables"},
		{"", "", false, false, "nftables"},
	} {
		f := &Facts{OSRelease: []byte(test.os), Units: map[string]bool{}, UFW: test.ufw, NFTables: test.nft}
		for _, u := range strings.Fields(test.units) {
			f.Units[u] = true
		}
		if got := Of(f).Name; got != test.want {
			t.Errorf("%q, units %q, ufw %t, nftables %t: %s, want %s", test.os, test.units, test.ufw, test.nft, got, test.want)
		}
	}
}

// Every system says all that --for prints, and its commands name files that are there.
func TestSystemsAreWhole(t *testing.T) {
	if len(Systems()) < 10 || !slices.IsSorted(Names()) {
		t.Errorf("%d systems: %v", len(Systems()), Names())
	}
	for _, s := range Systems() {
		if s.Title == "" || s.Format == nil || !strings.HasPrefix(s.Folder, "/etc/") || s.Trap == "" || !strings.HasSuffix(s.Trap, ".") || len(s.SwitchOn) == 0 || len(s.SwitchOn) > 4 {
			t.Errorf("%s: %+v", s.Name, s)
		}
		if ByName(s.Name) != s || emit.ByName(s.Format.Name) == nil {
			t.Errorf("%s or its format has another name", s.Name)
		}
		var files []string
		if s.Boot != nil {
			for _, f := range s.Boot() {
				files = append(files, s.Path(f.Name))
			}
		}
		for _, word := range strings.Fields(strings.Join(s.SwitchOn, " ")) {
			if strings.HasPrefix(word, s.Folder+"/") && s.Format.NFT && !slices.Contains(files, word) && s.Name != "nixos" {
				t.Errorf("%s: %s is not one of %v", s.Name, word, files)
			}
		}
	}
	for _, test := range [][3]string{{"debian", "rules.v4", "/etc/iptables/rules.v4"}, {"debian", "ipset", "/etc/iptables/ipsets"}, {"rhel", "ip6tables", "/etc/sysconfig/ip6tables"},
		{"alpine", "ip6tables", "/etc/iptables/rules6-save"}, {"arch", "iptables", "/etc/iptables/iptables.rules"}, {"ufw", "before.init", "/etc/ufw/before.init"}} {
		if got := ByName(test[0]).Path(test[1]); got != test[2] {
			t.Errorf("%s of %s: %s, want %s", test[1], test[0], got, test[2])
		}
	}
}

// ufw's defaults are a file of assignments for a shell.
func TestUFWDefaults(t *testing.T) {
	for text, want := range map[string][2]bool{ // flushes the built-in chains, loads IPv6
		"IPV6=yes\nMANAGE_BUILTINS=yes\n":           {true, true},
		"MANAGE_BUILTINS=\"yes\"\nIPV6='YES'":       {true, true},
		"MANAGE_BUILTINS=yes\nMANAGE_BUILTINS=no\n": {false, false},
		"IPV6=yes\nexport IPV6=no # by hand\n":      {false, false},
		"# MANAGE_BUILTINS=yes\n# IPV6=yes\n":       {false, false},
		"IPV6=Yes\n":                                {false, false},
	} {
		if got := [2]bool{FlushesBuiltins([]byte(text)), LoadsIPv6([]byte(text))}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if !LoadsIPv6(nil) {
		t.Error("a host without the file does not load IPv6")
	}
}

func TestUFWFiles(t *testing.T) {
	block, none := []byte("x\n# seawall: begin\n# seawall: end\n"), []byte("*filter\nCOMMIT\n")
	for _, test := range []struct {
		files    UFWFiles
		moved    string
		uncalled bool
	}{
		{UFWFiles{Hook: block, Executable: true, Rules: [2][]byte{block, block}}, "", false},
		{UFWFiles{Hook: block, Rules: [2][]byte{block, block}}, "", true},
		{UFWFiles{Hook: none, Executable: true, Rules: [2][]byte{block, block}}, "", true},
		{UFWFiles{Rules: [2][]byte{none, block}}, "", true},
		{UFWFiles{Hook: block, Executable: true, Rules: [2][]byte{none, block}}, "/etc/ufw/after.rules", false},
		{UFWFiles{Hook: block, Executable: true, Rules: [2][]byte{none, nil}}, "/etc/ufw/after.rules /etc/ufw/after6.rules", false},
		{UFWFiles{Hook: none, Executable: true, Rules: [2][]byte{none, none}}, "", false},
	} {
		if moved := strings.Join(test.files.Moved(), " "); moved != test.moved || test.files.Uncalled() != test.uncalled {
			t.Errorf("%+v: %q, %t", test.files, moved, test.files.Uncalled())
		}
	}
}
