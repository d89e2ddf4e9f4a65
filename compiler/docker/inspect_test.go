package docker

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/seawall/seawall/compiler/internal/fuzzing"
)

// bothLists has containers and a network.
const bothLists = `[
 {"Name": "/web", "State": {"Running": true}, "NetworkSettings": {
  "Networks": {"b": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd00::2"}, "a": {"IPAddress": "172.17.0.2"}},
  "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}],
   "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}, {"HostIp": "::", "HostPort": "9100"}], "82/udp": null}}},
 {"Name": "/old", "State": {"Running": false}, "NetworkSettings": {"Networks": {"a": {"IPAddress": "172.17.0.2"}}}}]
[{"Name": "a", "Id": "0123456789abcdef", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}, "Containers": {"x": {"IPv4Address": "172.17.0.2/16"}}}]`

// A port on every address is listed once per family: it is one port.
func TestParseInspect(t *testing.T) {
	k, err := ParseInspect([]byte(bothLists))
	if err != nil {
		t.Fatal(err)
	}
	want := []KnownPort{
		{Protocol: "tcp", Container: 80, Host: 8080, IPv4: true, IPv6: true},
		{Protocol: "tcp", Container: 80, Host: 8081, Address: netip.MustParseAddr("127.0.0.1"), IPv4: true},
		{Protocol: "tcp", Container: 81, IPv4: true},
		{Protocol: "tcp", Container: 81, Host: 9100, IPv6: true},
	}
	if got := k.Containers[0].Ports; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := k.Within(netip.MustParsePrefix("172.16.0.0/12")); !reflect.DeepEqual(got, []netip.Addr{netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("172.18.0.2")}) {
		t.Errorf("%v", got)
	}
	if n := k.Network("br-0123456789ab"); n == nil || n.Name != "a" || k.NameOf(netip.MustParseAddr("fd00::2")) != "web" {
		t.Errorf("%+v", k)
	}
}

// Anything that is not docker inspect output is rejected; whatever is parsed parses the same
// again.
func FuzzParseInspect(f *testing.F) {
	for _, text := range []string{bothLists, "", "[]", "[{}]", `{"Name": "x"}`, "null", `[{"NetworkSettings": {"Ports": {"80": [{}], "81/tcp": [{"HostPort": "70000"}], "-3/tcp": [{}], "x/tcp": [{"HostIp": "::ffff:1.2.3.4", "HostPort": "-1"}], "9/udp": [{"HostPort": "-1"}]}}}]`, `[{"IPAM": {}, "Driver": "bridge"}] [null]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fuzzing.Bound(t, len(src))
		k, err := ParseInspect(src)
		if err != nil {
			return
		}
		again, err := ParseInspect(src)
		if err != nil || !reflect.DeepEqual(k, again) {
			t.Fatalf("%+v, and again %+v, %v", k, again, err)
		}
		for _, c := range k.Containers {
			for _, p := range c.Ports {
				if p.Host < 0 || p.Host > 65535 || p.Container < 0 || p.Container > 65535 {
					t.Fatalf("the port %+v", p)
				}
			}
		}
	})
}
