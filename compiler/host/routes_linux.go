package host

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultInterfaces returns the interfaces of this host's default routes: of both families, every
// routing table, and each next hop of a multipath route (/proc/net/route only shows the first hop
// and one table). IPv4, the main table and low metrics come first. A host without a default route
// has none.
func DefaultInterfaces() ([]string, error) {
	routes, err := defaultRoutes()
	if err != nil {
		return nil, fmt.Errorf("the routes of this host: %w", err)
	}
	slices.SortStableFunc(routes, func(a, b netlink.Route) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Priority, b.Priority))
	})
	var names []string
	for _, r := range routes {
		for _, link := range links(r) {
			i, err := net.InterfaceByIndex(link)
			if err != nil || i.Flags&net.FlagLoopback != 0 || slices.Contains(names, i.Name) {
				continue // gone by now, or not an interface to the outside
			}
			names = append(names, i.Name)
		}
	}
	return names, nil
}

// defaultRoutes reads the default routes that lead somewhere: not those of type unreachable,
// blackhole, prohibit, throw or local.
func defaultRoutes() ([]netlink.Route, error) {
	const tries = 10 // each attempt ends early if a route changes meanwhile
	var list []netlink.Route
	var err error = netlink.ErrDumpInterrupted
	for i := 0; i < tries && errors.Is(err, netlink.ErrDumpInterrupted); i++ {
		list = nil
		err = netlink.RouteListFilteredIter(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if isDefault(r) {
				list = append(list, r)
			}
			return true
		})
	}
	return list, err
}

func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNICAST || r.Family != netlink.FAMILY_V4 && r.Family != netlink.FAMILY_V6 {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

// rank sorts the main table before others.
func rank(r netlink.Route) int {
	if r.Table == unix.RT_TABLE_MAIN {
		return 0
	}
	return r.Table
}

// links are the interface indexes of a route.
func links(r netlink.Route) []int {
	var list []int
	if r.LinkIndex > 0 {
		list = append(list, r.LinkIndex)
	}
	for _, hop := range r.MultiPath {
		list = append(list, hop.LinkIndex)
	}
	return list
}
