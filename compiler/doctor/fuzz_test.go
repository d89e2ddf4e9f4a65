package doctor_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/exposure"
	"github.com/seawall/seawall/compiler/internal/fuzzing"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// Whatever rules are read, doctor and exposure come to an end.
func FuzzRun(f *testing.F) {
	names, _ := filepath.Glob("../../testdata/captures/*-save")
	for _, name := range names {
		if src, err := os.ReadFile(name); err == nil {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		ctx := fuzzing.Bound(t, len(src))
		file, err := iptables.Parse(src, iptables.Options{Family: packet.IPv4})
		if err != nil {
			return
		}
		tables := docker.TablesOf(file)
		doctor.Run(ctx, &doctor.Host{Families: []docker.Tables{tables}, Interfaces: []string{"eth0"}}, prove.Limits{})
		report, err := exposure.Of(ctx, exposure.Host{Families: []docker.Tables{tables}, Interfaces: []string{"eth0"}}, prove.Limits{})
		if err == nil {
			_ = report.Text()
		}
	})
}
