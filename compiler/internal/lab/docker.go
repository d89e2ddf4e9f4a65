//go:build linux

package lab

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seawall/seawall/compiler/packet"
	"golang.org/x/sys/unix"
)

// Docker is a real engine in the host's namespace of a topology. It has mount
// and process namespaces of its own, whose first process dies with the test:
// so daemon, containers, proxies and mounts are gone however the test ends.
type Docker struct {
	t       testing.TB
	top     *Topology
	engine  Engine
	backend Backend
	holder  *exec.Cmd
	dir     string
	daemon  *exec.Cmd
	flags   []string
	root    string // the folder of the programs that its root has beyond the machine's, "" for the machine's own root
}

// NeedDocker skips a test, or under CI fails it, where there is no engine.
func NeedDocker(t testing.TB) {
	t.Helper()
	Need(t, engines()[0].dockerd, "docker", "containerd")
}

// StartDocker starts the first engine, and imports the echo image.
func StartDocker(t testing.TB, top *Topology, b Backend, flags ...string) *Docker {
	t.Helper()
	return StartEngine(t, top, engines()[0], b, flags...)
}

// StartEngine starts an engine, and imports the echo image.
func StartEngine(t testing.TB, top *Topology, e Engine, b Backend, flags ...string) *Docker {
	t.Helper()
	d := newDocker(t, top, e, b, flags...)
	d.hold()
	d.StartDaemon()
	d.importEcho()
	return d
}

func newDocker(t testing.TB, top *Topology, e Engine, b Backend, flags ...string) *Docker {
	t.Helper()
	d := &Docker{t: t, top: top, engine: e, backend: b, flags: flags, dir: shortDir(t)}
	d.pathOfBackend()
	return d
}

// shortDir is a folder for a test whose path is short enough for sockets in it.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// hold starts the first process of the engine's namespaces.
func (d *Docker) hold() {
	d.t.Helper()
	script := "mount --make-rprivate / && mount -t proc proc /proc && exec sleep infinity"
	if d.root != "" {
		script = ownRoot
	}
	d.holder = exec.Command("sh", "-c", script, "hold", d.dir, d.root)
	d.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	keeper <- func() { started <- inNetwork(d.top.Host.Path(), d.holder.Start) }
	if err := <-started; err != nil {
		d.t.Fatalf("cannot hold the engine's namespaces: %v", err)
	}
	d.t.Cleanup(func() {
		_ = d.holder.Process.Kill()
		_ = d.holder.Wait() // it was killed
		removeCgroups(d.cgroup())
	})
	// The holder is in its namespaces once it is sleep.
	for range 2000 {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", d.holder.Process.Pid)); string(name) == "sleep\n" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.t.Fatal("the holder of the engine's namespaces did not start")
}

// inNetwork runs a function on this locked thread within a network namespace,
// and comes back.
func inNetwork(path string, f func() error) error {
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	defer func() { _ = home.Close() }()
	there, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = there.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return back
	}
	return err
}

func (d *Docker) cgroup() string { return fmt.Sprintf("seawall-lab-%d", d.holder.Process.Pid) }

// removeStaleCgroups removes the control groups of runs that were killed: all
// that outlives one.
func removeStaleCgroups() {
	for _, pattern := range []string{"/sys/fs/cgroup/seawall-lab-*", "/sys/fs/cgroup/*/seawall-lab-*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			pid := strings.TrimPrefix(filepath.Base(dir), "seawall-lab-")
			if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
				removeCgroups(filepath.Base(dir))
			}
		}
	}
}

// removeCgroups removes the empty control groups of containers that were
// killed.
func removeCgroups(name string) {
	for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			inner, _ := filepath.Glob(dir + "/*")
			for _, i := range inner {
				_ = os.Remove(i) // control files cannot be removed, folders can
			}
			_ = os.Remove(dir)
		}
	}
}

// pathOfBackend makes a folder in which iptables is the wanted back end's.
func (d *Docker) pathOfBackend() {
	d.t.Helper()
	bin := filepath.Join(d.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		d.t.Fatal(err)
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			path := d.engine.program(d.t, d.backend.Command(f, suffix))
			plain := strings.Replace(d.backend.Command(f, suffix), "-"+string(d.backend), "", 1)
			if err := os.Symlink(path, filepath.Join(bin, plain)); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func (d *Docker) socket() string { return filepath.Join(d.dir, "docker.sock") }

// enter prepares a program in all of the engine's namespaces.
func (d *Docker) enter(program string, args ...string) *exec.Cmd {
	pid := fmt.Sprint(d.holder.Process.Pid)
	c := exec.Command("nsenter", append([]string{"-t", pid, "--net", "--mount", "--pid", program}, args...)...)
	path := filepath.Join(d.dir, "bin")
	if filepath.IsAbs(d.engine.dockerd) {
		path += ":" + filepath.Dir(d.engine.dockerd) // docker-proxy is beside it
	}
	c.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
	return c
}

// StartDaemon starts dockerd and waits until it answers.
func (d *Docker) StartDaemon() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "dockerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	d.daemon = d.enter(d.engine.dockerd, append([]string{"--data-root", d.dir + "/data", "--exec-root", d.dir + "/exec",
		"-H", "unix://" + d.socket(), "-p", d.dir + "/pid", "--cgroup-parent", "/" + d.cgroup(), "--shutdown-timeout", "2"}, d.flags...)...)
	d.daemon.Stdout, d.daemon.Stderr = log, log
	if err := d.daemon.Start(); err != nil {
		d.t.Fatal(err)
	}
	for range 300 {
		if _, err := d.docker("version"); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(d.dir, "dockerd.log"))
	const last = 2000
	d.t.Fatalf("dockerd does not answer:\n%s", text[max(0, len(text)-last):])
}

// StopDaemon ends dockerd, and with it the containers.
func (d *Docker) StopDaemon() {
	d.t.Helper()
	pid, err := os.ReadFile(d.dir + "/pid")
	if err != nil {
		d.t.Fatal(err)
	}
	// The number in the file is of the engine's process namespace.
	if out, err := d.enter("kill", "-TERM", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s", err, out)
	}
	_ = d.daemon.Wait() // ended by a signal
}

// docker runs the client.
func (d *Docker) docker(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"-H", "unix://" + d.socket()}, args...)...).CombinedOutput()
	return string(out), err
}

// Must runs the client for something that cannot fail if the engine works.
func (d *Docker) Must(args ...string) string {
	d.t.Helper()
	out, err := d.docker(args...)
	if err != nil {
		d.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// Run starts a container of the echo image, with docker run's options, that
// answers on its ports ("80/tcp"). It comes back with every start of the engine.
func (d *Docker) Run(name string, options []string, ports ...string) {
	d.t.Helper()
	args := append([]string{"run", "-d", "--restart", "always", "--name", name}, options...)
	d.Must(append(append(args, "echo:1"), ports...)...)
	d.waitReady(name)
}

// echoTar is the echo image's only layer, built once.
var echoTar = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "seawall-echo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	_, here, _, _ := runtime.Caller(0)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "echo"), "./echo")
	build.Dir = filepath.Dir(here)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "echo"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "echo", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
})

func (d *Docker) importEcho() {
	d.t.Helper()
	image, err := echoTar()
	if err != nil {
		d.t.Fatal(err)
	}
	c := exec.Command("docker", "-H", "unix://"+d.socket(), "import", "-c", `ENTRYPOINT ["/echo"]`, "-", "echo:1")
	c.Stdin = bytes.NewReader(image)
	if out, err := c.CombinedOutput(); err != nil {
		d.t.Fatalf("docker import: %v\n%s", err, out)
	}
}

// Address is a container's address in its network.
func (d *Docker) Address(name string, f packet.Family) string {
	d.t.Helper()
	field := "IPAddress"
	if f == packet.IPv6 {
		field = "GlobalIPv6Address"
	}
	return d.Must("inspect", "-f", "{{range .NetworkSettings.Networks}}{{."+field+"}}{{end}}", name)
}

// WaitRunning waits until a container runs.
func (d *Docker) WaitRunning(names ...string) {
	d.t.Helper()
	for range 200 {
		out, err := d.docker(append([]string{"inspect", "-f", "{{.State.Running}}"}, names...)...)
		if err == nil && !strings.Contains(out, "false") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Fatalf("%v do not run", names)
}

// waitReady waits until a new container's echo listens.
func (d *Docker) waitReady(name string) {
	d.t.Helper()
	for range 200 {
		if log, err := d.docker("logs", name); err == nil && strings.Contains(log, "ready") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Fatalf("%s does not listen", name)
}
