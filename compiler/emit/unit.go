package emit

import "strings"

// UnitName is the unit of systemd that loads seawall.nft, DropInName a file for
// nftables.service.
const (
	UnitName   = "seawall.service"
	DropInName = "seawall.conf"
)

// Units are the unit of systemd that loads a table with nft, and a file for
// nftables.service. Both paths are absolute.
//
// The unit's start and reload take the three steps of Bridge, so that no packet passes
// between the old and the new table. nftables.service flushes the whole ruleset at its
// start, reload and stop. With that file each of them is one transaction that also loads
// the table, so that no port is open in between. What the service itself loads is loaded
// in any case: by itself if the two together fail. firewalld leaves the table alone at
// each start, stop and reload, so it needs nothing but the order at boot.
func Units(path, nft string) []File {
	load := word(nft) + " -f " + word(path)
	bridge := `/bin/sh -c 'sed -E "$$1" "$$2" | "$$3" -f -' sh ` + "'" + bridgeSed + "' " + word(path) + " " + word(nft)
	unbridge := word(nft) + " delete table " + BridgeTable
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
ExecStartPre=` + bridge + "\nExecStart=" + load + "\nExecStartPost=" + unbridge +
			"\nExecReload=" + strings.Join([]string{bridge, load, unbridge}, "\nExecReload=") + `

[Install]
WantedBy=sysinit.target
RequiredBy=docker.service
`)},
		{Name: DropInName, Bytes: []byte("# " + generatedBy + "a policy; DO NOT EDIT.\n" +
			"# What nftables.service runs otherwise, in one transaction with Seawall's table.\n[Service]\n" +
			dropIn("ExecStart", together(""), path, nft) +
			dropIn("ExecReload", together(`[ -e /etc/debian_version ] || echo flush ruleset; `), path, nft) +
			dropIn("ExecStop", `[ -r "$$1" ] && { echo flush ruleset; `+withTable+` || exec "$$3" flush ruleset`, path, nft))},
	}
}

// withTable is the end of a text for nft. The arguments of its command are seawall.nft, the
// expression for the bridge, and nft. systemd takes a backslash for its own, even
// within single quotes, so there is none.
const withTable = `cat "$$1"; sed -E "$$2" "$$1"; } | "$$3" -f -`

// together loads the configuration of nftables.service and the table in one transaction,
// or else the configuration alone. It is where Debian and Arch have it, or RHEL. But for
// Debian's, their reload flushes first.
func together(before string) string {
	return `conf=/etc/nftables.conf; [ -e "$$conf" ] || conf=/etc/sysconfig/nftables.conf; ` +
		`[ -r "$$conf" ] && [ -r "$$1" ] && { ` + before + `cat "$$conf"; echo; ` + withTable + ` || exec "$$3" -f "$$conf"`
}

// dropIn replaces the commands of a key of nftables.service. The bridge has served once
// the new table is there.
func dropIn(key, command, path, nft string) string {
	return key + "=\n" + key + "=/bin/sh -c '" + command + "' sh " + word(path) + " '" + bridgeSed + "' " + word(nft) + "\n" +
		key + "=-" + word(nft) + " delete table " + BridgeTable + "\n"
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
