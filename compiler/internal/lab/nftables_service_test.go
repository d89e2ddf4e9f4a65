//go:build linux

package lab

import (
	"testing"

	"github.com/seawall/seawall/compiler/emit"
)

// Debian's nftables.service, whose configuration begins with flush ruleset. Docker's
// rules of iptables-nft are in that ruleset as well.
func TestNFTablesService(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		// What closes the host at each event: the configuration replaces its own table
		// and leaves those of others.
		h := newManaged(t, "nftables.service, no flush", "nftables", e, b, managedOptions{table: true})
		h.tableUnit()
		h.edit("/etc/nftables.conf", "flush ruleset\n", "table inet filter\ndelete table inet filter\n")
		h.write("/etc/systemd/system/nftables.service.d/seawall.conf", "[Service]\nExecStop=\nExecStop=/usr/sbin/nft delete table inet filter\n", 0o644)
		start := func() {
			h.unit("nftables.service", "ExecStart")
			h.unit(emit.UnitName, "ExecStart")
		}
		h.boot(start)
		h.closed("reload", func() {
			for range times(5) {
				h.unit("nftables.service", "ExecReload")
			}
		})
		h.closed("restart", func() {
			for range times(3) {
				h.unit("nftables.service", "ExecStop")
				start()
			}
		})
		h.unit("nftables.service", "ExecStop")
		if *long {
			h.closed("stopped, restart of Docker", h.restartDocker)
			nftablesFlushes(t, e, b)
		}
	})
}

// With the configuration as it is shipped, the table is included at its end: then flush
// and table are one transaction. With Docker's rules of nat gone, a port that no policy
// names is open through docker-proxy until Docker is restarted.
func nftablesFlushes(t *testing.T, e Engine, b Backend) {
	h := newManaged(t, "nftables.service, included", "nftables", e, b, managedOptions{table: true})
	h.tableUnit()
	h.write("/etc/nftables.conf", h.read("/etc/nftables.conf")+"include \"/etc/seawall/seawall.nft\"\n", 0o755)
	h.write("/etc/seawall/stop.nft", "flush ruleset\ninclude \"/etc/seawall/seawall.nft\"\n", 0o644)
	start := func() { h.unit("nftables.service", "ExecStart") }
	const drop = "/etc/systemd/system/nftables.service.d/seawall.conf"
	h.write(drop, "[Service]\nExecStop=\nExecStop=/usr/sbin/nft -f /etc/seawall/stop.nft\n", 0o644)
	h.boot(start)
	h.shut("reload", func() {
		for range times(5) {
			h.unit("nftables.service", "ExecReload")
		}
	}, notNamed)
	h.closed("restart of Docker after a reload", h.restartDocker, notNamed)
	h.shut("restart", func() {
		for range times(3) {
			h.unit("nftables.service", "ExecStop")
			start()
		}
	}, notNamed)
	h.restartDocker()
	// Without the drop-in, stopping the service flushes, and a restart is two steps.
	h.write(drop, "", 0o644)
	h.opens("restart without the drop-in", func() {
		for range 10 {
			h.unit("nftables.service", "ExecStop")
			start()
		}
	})
	h.restartDocker()
	// With the unit alone, a reload is two steps as well.
	h.edit("/etc/nftables.conf", "include \"/etc/seawall/seawall.nft\"\n", "")
	h.tableUnit()
	h.opens("reload, with seawall.service alone", func() {
		for range 10 {
			h.unit("nftables.service", "ExecReload")
		}
	})
}
