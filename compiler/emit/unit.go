package emit

import "strings"

// UnitName is the unit of systemd that loads seawall.nft, DropInName a file for
// nftables.service.
const (
	UnitName   = "seawall.service"
	DropInName = "seawall.conf"
)

// Units are the unit of systemd that loads a table with nft, and a file for
// nftables.service: its reload flushes the whole ruleset, which the unit does not
// notice. Its start and stop do as well, which PartOf is for. firewalld leaves the table
// alone at each start, stop and reload, so it needs nothing but the order at boot. Both
// paths are absolute.
//
// The unit's reload takes the three steps of Bridge, so that no packet passes between
// the old and the new table.
func Units(path, nft string) []File {
	load := word(nft) + " -f " + word(path)
	reload := []string{
		`/bin/sh -c 'sed -E "$$1" "$$2" | "$$3" -f -' sh ` + "'" + bridgeSed + "' " + word(path) + " " + word(nft),
		load,
		word(nft) + " delete table " + BridgeTable,
	}
	return []File{
		{Name: UnitName, Bytes: []byte("# " + generatedBy + "a policy; DO NOT EDIT.\n" + `[Unit]
Description=Seawall: who may reach which published port
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target firewalld.service docker.service shutdown.target
After=local-fs.target nftables.service iptables.service netfilter-persistent.service
PartOf=nftables.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + load + "\nExecReload=" + strings.Join(reload, "\nExecReload=") + `

[Install]
WantedBy=sysinit.target
RequiredBy=docker.service
`)},
		{Name: DropInName, Bytes: []byte("# " + generatedBy + "a policy; DO NOT EDIT.\n[Service]\nExecReload=" + load + "\n")},
	}
}

// word quotes a path for a command line of systemd.
func word(path string) string {
	path = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`, "\t", `\t`).Replace(path)
	if strings.ContainsAny(path, " '\"\\;") {
		return `"` + path + `"`
	}
	return path
}

// UnitLoads is the file that a unit of Seawall's loads; false for a unit of others.
func UnitLoads(unit []byte) (path string, ok bool) {
	text := string(unit)
	if !strings.HasPrefix(text, "# "+generatedBy) {
		return "", false
	}
	_, text, _ = strings.Cut(text, "\nExecStart=")
	text, _, _ = strings.Cut(text, "\n")
	_, path, ok = strings.Cut(text, " -f ")
	if quoted := strings.HasPrefix(path, `"`); quoted {
		path = strings.TrimSuffix(path[1:], `"`)
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, "%%", "%", "$$", "$", `\n`, "\n", `\t`, "\t").Replace(path), ok
}
