//go:build linux

package lab

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seawall/seawall/compiler/host"
)

// The default interfaces are those of the kernel's default routes, whatever their
// family, table and number of ways.
func TestDefaultInterfaces(t *testing.T) {
	t.Parallel()
	Need(t)
	for _, c := range []struct {
		name   string
		routes []string
		want   []string
	}{
		{"none", nil, nil},
		{"other routes", []string{"-4 192.0.2.0/24 via 10.0.0.1", "-6 2000::/3 via fd00:0::1"}, nil},
		{"IPv4 alone", []string{"-4 default via 10.0.1.1"}, []string{"up1"}},
		{"IPv6 alone", []string{"-6 default via fd00:2::1"}, []string{"up2"}},
		{"both on one", []string{"-4 default via 10.0.0.1", "-6 default via fd00:0::1"}, []string{"up0"}},
		{"both on two", []string{"-6 default via fd00:0::1", "-4 default via 10.0.1.1"}, []string{"up1", "up0"}},
		{"metrics", []string{"-4 default via 10.0.0.1 metric 200", "-4 default via 10.0.1.1 metric 100", "-4 default via 10.0.2.1 metric 300"}, []string{"up1", "up0", "up2"}},
		{"several ways, IPv4", []string{"-4 default nexthop via 10.0.0.1 nexthop via 10.0.2.1"}, []string{"up0", "up2"}},
		{"several ways, IPv6", []string{"-6 default nexthop via fd00:1::1 dev up1 nexthop via fd00:2::1 dev up2"}, []string{"up1", "up2"}},
		{"a link's own", []string{"-6 default dev up1"}, []string{"up1"}},
		{"another table", []string{"-4 default via 10.0.0.1", "-4 default via 10.0.1.1 table 100", "-6 default dev up2 table 51820"}, []string{"up0", "up1", "up2"}},
		{"unreachable", []string{"-4 unreachable default", "-6 unreachable default metric 5000", "-4 blackhole default metric 9"}, nil},
		{"unreachable beside one", []string{"-4 unreachable default metric 4278198272", "-4 default via 10.0.1.1", "-6 prohibit default"}, []string{"up1"}},
		{"local", []string{"-4 local default dev lo table 100", "-6 local default dev lo table 100"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, peer := NewNamespace(t, "host"), NewNamespace(t, "peer")
			for i := range 3 {
				up := fmt.Sprintf("up%d", i)
				Link(n, up, peer, up)
				n.Address(up, fmt.Sprintf("10.0.%d.2/24", i), fmt.Sprintf("fd00:%d::2/64", i))
			}
			for _, r := range c.routes {
				n.Must("sh", "-c", fmt.Sprintf("set -- %s; family=$1; shift; exec ip $family route add \"$@\"", r))
			}
			var got []string
			err := n.Do(func() (err error) {
				got, err = host.DefaultInterfaces()
				return err
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v; want %v\n%s%s", got, err, c.want, n.Must("ip", "-4", "route", "show", "table", "all"), n.Must("ip", "-6", "route", "show", "table", "all"))
			}
		})
	}
}
