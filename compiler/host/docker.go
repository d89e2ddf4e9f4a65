package host

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where to find how Docker's daemon was started.
const (
	daemonPID  = "/run/docker.pid"
	daemonJSON = "/etc/docker/daemon.json"
)

// DockerDrops reports whether this host's daemon is known to write its drops to the raw table, as
// engines since 28 do by default: raw for packets to loopback ports from elsewhere, direct for
// packets to containers' own addresses. Both are false if its options cannot be read.
func DockerDrops() (raw, direct bool) {
	pid, err := os.ReadFile(daemonPID)
	if err != nil {
		return false, false
	}
	process := filepath.Join("/proc", strings.TrimSpace(string(pid)))
	words, err := os.ReadFile(filepath.Join(process, "cmdline"))
	if err != nil {
		return false, false
	}
	environment, err := os.ReadFile(filepath.Join(process, "environ"))
	if err != nil {
		return false, false
	}
	name := daemonJSON
	config, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return false, false
	}
	return drops(split(words), split(environment), config)
}

// split returns the NUL-terminated strings of a file in /proc.
func split(text []byte) []string {
	return strings.Split(string(bytes.TrimRight(text, "\x00")), "\x00")
}

// drops reads the daemon's options: its command line, its environment, and daemon.json.
func drops(words, environment []string, config []byte) (raw, direct bool) {
	raw = !slices.Contains(environment, "DOCKER_INSECURE_NO_IPTABLES_RAW=1")
	var file struct {
		Direct bool `json:"allow-direct-routing"`
	}
	if len(config) > 0 && json.Unmarshal(config, &file) != nil {
		return false, false
	}
	allowed := file.Direct
	for _, w := range words {
		if value, ok := strings.CutPrefix(w, "--allow-direct-routing"); ok {
			allowed = value != "=false"
		}
		if strings.HasPrefix(w, "--config-file") {
			return false, false // another file, with unknown content
		}
	}
	return raw, raw && !allowed
}
