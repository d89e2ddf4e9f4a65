package inventory

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/schema"
)

// Whatever docker inspect may print is either rejected or has ports that there can be.
func FuzzFromInspect(f *testing.F) {
	names, _ := filepath.Glob("../../testdata/captures/*.inspect.json")
	for _, name := range names {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Add([]byte(`[{"Name": "/web", "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}}]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzzing.Bound(t, len(src))
		ports, err := FromInspect(src)
		if err == nil {
			checkPorts(t, ports)
			checkPolicy(t, ports)
		}
	})
}

// Any text is a compose file with ports that there can be, or an error.
func FuzzFromCompose(f *testing.F) {
	f.Add([]byte("services:\n  web:\n    image: nginx\n    ports: [\"8080:80\", \"127.0.0.1:5432:5432/tcp\", \"8000-8010:9000-9010\"]\n"))
	f.Add([]byte("services:\n  a: &a\n    image: x\n    ports:\n      - target: 80\n        published: \"80-90\"\n        protocol: udp\n  b: *a\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte) {
		ctx := fuzzing.Bound(t, len(src))
		path := filepath.Join(dir, "compose.yaml")
		if err := os.WriteFile(path, src, 0o600); err != nil {
			t.Fatal(err)
		}
		ports, err := FromCompose(ctx, path)
		if err == nil {
			checkPorts(t, ports)
			checkPolicy(t, ports)
		}
	})
}

func checkPorts(t *testing.T, ports []Port) {
	t.Helper()
	for _, p := range ports {
		if p.First < 1 || p.First > p.Last {
			t.Fatalf("the port %+v", p)
		}
	}
}

// checkPolicy fails the test if the policy for the ports does not load.
func checkPolicy(t *testing.T, ports []Port) {
	t.Helper()
	text := Policy(ports, []string{"eth0"})
	loaded, diags := schema.Parse("policy.hcl", text, schema.Options{})
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags, text)
	}
	Check(ports, loaded.Document, "eth0")
}
