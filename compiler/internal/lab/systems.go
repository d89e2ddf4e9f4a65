//go:build linux

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Firewall managers write to /etc and /run, and load rules at any moment. Here one runs
// in a root of its own: the machine's, with the manager's packages and all that is
// written in a layer above it that goes with the test. The engine is in the same root,
// and both are in the host's network namespace of a topology. Nothing of it can reach
// the machine, for every program is started by Docker.enter.

// ownRoot makes that root, and is the first process of its namespaces. Its arguments are
// the lab's folder, which is the same folder inside, and the packages' files.
const ownRoot = `set -e
mount --make-rprivate /
mkdir "$1/layers" "$1/root"
mount -t tmpfs tmpfs "$1/layers"
mkdir "$1/layers/upper" "$1/layers/work"
cp -a "$2/." "$1/layers/upper"
mount -t overlay -o "lowerdir=/,upperdir=$1/layers/upper,workdir=$1/layers/work" overlay "$1/root"
for at in /run "$1"; do mkdir -p "$1/root$at"; done
mount -t tmpfs tmpfs "$1/root/run"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount --rbind /sys "$1/root/sys"
mount --bind "$1" "$1/root$1"
cd "$1/root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec sleep infinity
`

// systemPackages is the folder of a firewall manager's files, as .ci/systems fetched
// them into the folder that $SEAWALL_SYSTEMS names. Without it a test is skipped, and
// fails under CI.
func systemPackages(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("SEAWALL_SYSTEMS"), name)
	switch {
	case os.Getenv("SEAWALL_SYSTEMS") != "" && fileExists(dir):
	case os.Getenv("CI") != "":
		t.Fatalf("the lab lacks %s: .ci/systems fetches it, and SEAWALL_SYSTEMS names the folder", name)
	default:
		t.Skipf("this test needs %s: .ci/systems fetches it, and SEAWALL_SYSTEMS names the folder", name)
	}
	return dir
}

// holdIn starts the namespaces of an engine with a root of their own, without its
// daemon. There, iptables is the one of the back end.
func (d *Docker) holdIn(packages string) {
	d.t.Helper()
	d.root = packages
	d.hold()
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			name := d.backend.Command(f, suffix)
			plain := strings.Replace(name, "-"+string(d.backend), "", 1)
			link := d.inside("/etc/alternatives/" + plain)
			if err := os.Remove(link); err != nil {
				d.t.Fatal(err)
			}
			if err := os.Symlink("/usr/sbin/"+name, link); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// inside is the path, from outside, of a file in the engine's root.
func (d *Docker) inside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", d.holder.Process.Pid, path)
}

// system prepares a program of the engine's root, with the environment that systemd
// would start it in.
func (d *Docker) system(program string, args ...string) *exec.Cmd {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	return d.enter("env", append([]string{"-i", path, "HOME=/root", "LC_ALL=C.UTF-8", program}, args...)...)
}
