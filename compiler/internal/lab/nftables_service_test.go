//go:build linux

package lab

import (
	"testing"

	"github.com/seawall/seawall/compiler/emit"
)

// Debian's nftables.service, with its configuration as it is shipped: each start, reload
// and stop flushes the whole ruleset, Docker's rules of iptables-nft included. With those
// of nat gone, a port that no policy names is open through docker-proxy until Docker is
// restarted.
func TestNFTablesService(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		h := newManaged(t, "nftables.service", "nftables", e, b, managedOptions{table: true})
		h.install("nftables")
		h.boot(h.startNFTables)
		reload := func() {
			for range times(3) {
				h.unit("nftables.service", "ExecReload")
			}
		}
		h.shut("reload", reload, notNamed)
		h.shut("stop and start", func() {
			for range times(3) {
				h.unit("nftables.service", "ExecStop")
				h.startNFTables()
			}
		}, notNamed)
		if !*long {
			return
		}
		h.unit("nftables.service", "ExecStop")
		h.closed("stopped, restart of Docker", h.restartDocker, notNamed)
		// The configuration may replace its own table in place of the flush: then all that
		// is Docker's stays.
		h.edit("/etc/nftables.conf", "flush ruleset\n", "table inet filter\ndelete table inet filter\n")
		h.startNFTables()
		h.closed("reload that flushes nothing", reload)
		// Without the drop-in, flush and table are two transactions.
		h.write("/etc/systemd/system/nftables.service.d/"+emit.DropInName, "", 0o644)
		h.edit("/etc/nftables.conf", "table inet filter\ndelete table inet filter\n", "flush ruleset\n")
		h.opens("stop and start without the drop-in", func() {
			for range 10 {
				h.unit("nftables.service", "ExecStop")
				h.startNFTables()
			}
		})
	})
}

// startNFTables is what systemd runs for a start of nftables.service.
func (h *managed) startNFTables() {
	h.t.Helper()
	h.unit("nftables.service", "ExecStart")
	h.unit(emit.UnitName, "ExecStart")
}
