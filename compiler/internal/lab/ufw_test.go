//go:build linux

package lab

import (
	"strings"
	"testing"
)

// ufw, with the policy in its own files.
func TestUFW(t *testing.T) {
	t.Parallel()
	onEachHost(t, func(t *testing.T, e Engine, b Backend) {
		h := newManaged(t, "ufw", "ufw", e, b, managedOptions{})
		h.installUFW()
		h.install("ufw")
		h.must("ufw", "--force", "enable")
		// Seawall's pass is no accept: ufw's own policy denies what comes to docker-proxy.
		h.must("ufw", "allow", "8080/tcp")
		h.closed("reload", func() {
			for range times(1) {
				h.must("ufw", "reload")
			}
		})
		if *long {
			h.closed("allow and delete", func() {
				for range 10 {
					h.must("ufw", "allow", "9100")
					h.must("ufw", "delete", "allow", "9100")
				}
			})
			h.closed("disable and enable", func() {
				for range 10 {
					h.must("ufw", "disable")
					h.must("ufw", "--force", "enable")
				}
			})
			h.closed("stop and start of ufw.service", func() {
				for range 10 {
					h.unit("ufw.service", "ExecStop")
					h.unit("ufw.service", "ExecStart")
				}
			})
			h.closed("restart of Docker", h.restartDocker)
		}
		h.boot(func() { h.unit("ufw.service", "ExecStart") })
	})
}

// installUFW does what the package's own script does after unpacking.
func (h *managed) installUFW() {
	h.t.Helper()
	for _, name := range []string{"before.init", "after.init", "before.rules", "after.rules", "user.rules", "before6.rules", "after6.rules", "user6.rules", "ufw.conf"} {
		at := "/usr/share/ufw/" + name
		if !fileExists(h.docker.inside(at)) || strings.HasSuffix(name, ".rules") {
			at = "/usr/share/ufw/iptables/" + name
		}
		h.write("/etc/ufw/"+name, h.read(at), 0o640)
	}
}
