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

// The same for a host with both families, with what docker inspect prints and with a
// daemon.json.
func FuzzHost(f *testing.F) {
	read := func(name string) []byte {
		src, err := os.ReadFile("../../testdata/captures/" + name)
		if err != nil {
			f.Fatal(err)
		}
		return src
	}
	f.Add(read("engine-29-modes.iptables-save"), read("engine-29-modes.ip6tables-save"), read("engine-29-modes.inspect.json"), []byte("{}"), true)
	f.Add(read("engine-28.5-modes.iptables-save"), read("engine-28.5-modes.ip6tables-save"), read("engine-28.5-modes.inspect.json"), []byte(`{"iptables": false, "ip6tables": false}`), false)
	f.Add(read("engine-26.1-modes.iptables-save"), read("engine-26.1-idle.ip6tables-save"), read("engine-26.1-modes.inspect.json"), []byte(`{"firewall-backend": "nftables"}`), true)
	f.Fuzz(func(t *testing.T, v4, v6, inspect, daemon []byte, live bool) {
		ctx := fuzzing.Bound(t, len(v4)+len(v6)+len(inspect)+len(daemon))
		var tables []docker.Tables
		for i, src := range [][]byte{v4, v6} {
			if file, err := iptables.Parse(src, iptables.Options{Family: packet.Families[i]}); err == nil {
				tables = append(tables, docker.TablesOf(file))
			}
		}
		known, err := docker.ParseInspect(inspect)
		if err != nil {
			known = nil
		}
		limits := prove.Limits{Steps: 20_000_000}
		host := &doctor.Host{Families: tables, Interfaces: []string{"eth0"}, Facts: doctor.Facts{Live: live, DaemonJSON: daemon, Daemon: live}}
		doctor.Text(doctor.Run(ctx, host, limits))
		doctor.Notes(ctx, host, limits)
		report, err := exposure.Of(ctx, exposure.Host{Families: tables, Interfaces: []string{"eth0"}, Known: known}, limits)
		if err == nil {
			_ = report.Text()
		}
	})
}
