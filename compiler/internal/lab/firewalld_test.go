//go:build linux

package lab

import (
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/emit"
)

// firewalld, with the policy in a table of nft: rules in DOCKER-USER do not hold there,
// for Docker makes its chains again at each reload.
func TestFirewalld(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		for _, backend := range []string{"nftables", "iptables"} {
			if backend == "iptables" && !*long {
				continue
			}
			firewalldHolds(t, e, b, backend)
		}
	})
}

func firewalldHolds(t *testing.T, e Engine, b Backend, backend string) {
	h := newManaged(t, "firewalld with "+backend, "firewalld", e, b, managedOptions{table: true, before: func(h *managed) {
		h.edit("/etc/firewalld/firewalld.conf", "FirewallBackend=nftables", "FirewallBackend="+backend)
		// Seawall's pass is no accept: firewalld's zone denies what comes to docker-proxy.
		h.must("firewall-offline-cmd", "--add-port=8080/tcp")
		h.startBus()
		h.startFirewalld()
	}})
	h.install("firewalld")
	h.unit(emit.UnitName, "ExecStart")
	options := []string{"--reload", "--complete-reload"}
	if !*long {
		options = options[:1]
	}
	for _, option := range options {
		h.shut(option, func() {
			for range times(2) {
				h.reloadFirewalld(option)
			}
		})
		h.restartDocker() // it does not make all of its rules again after reloads in quick succession
		h.intact(option)
	}
	// While firewalld is down, Docker's rules are gone, and a port that no policy names is
	// open through docker-proxy.
	h.shut("stop and start", func() {
		for range (times(1) + 9) / 10 {
			h.stopFirewalld()
			h.startFirewalld()
		}
	}, notNamed)
	h.restartDocker() // nor after starts of firewalld in quick succession
	h.intact("stop and start")
	if *long {
		h.closed("restart of Docker", h.restartDocker)
	}
	h.bootFirewalld()
}

// bootFirewalld replays a boot: bus, firewalld and the table's unit, then the engine.
func (h *managed) bootFirewalld() {
	h.t.Helper()
	h.stopFirewalld()
	h.boot(func() {
		h.startFirewalld()
		h.unit(emit.UnitName, "ExecStart")
	})
}

// busConfig is a system bus on which root may do everything.
const busConfig = `<busconfig>
<type>system</type>
<listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
</policy>
</busconfig>
`

func (h *managed) startBus() {
	h.t.Helper()
	h.write("/etc/dbus-1/lab.conf", busConfig, 0o644)
	h.must("mkdir", "/run/dbus")
	h.daemon("dbus", "dbus-daemon", "--config-file=/etc/dbus-1/lab.conf", "--nofork", "--nopidfile")
	h.until("the bus is there", func() bool { return fileExists(h.docker.inside("/run/dbus/system_bus_socket")) })
}

func (h *managed) startFirewalld() {
	h.t.Helper()
	h.daemon("firewalld", "/usr/bin/python3", "/usr/sbin/firewalld", "--nofork", "--nopid")
	h.until("firewalld runs", func() bool {
		out, err := h.try("firewall-cmd", "--state")
		return err == nil && strings.Contains(out, "running")
	})
}

// reloadFirewalld reloads, again where a busy machine is slower than the bus waits.
func (h *managed) reloadFirewalld(option string) {
	h.t.Helper()
	h.until("firewalld reloads", func() bool {
		_, err := h.try("firewall-cmd", option)
		return err == nil
	})
}

func (h *managed) stopFirewalld() {
	h.t.Helper()
	h.signal("firewalld", "TERM")
	h.stopped("firewalld")
}
