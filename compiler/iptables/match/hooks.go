package match

// Where the kernel takes a use of a module depends on its options here
// (checkentry in net/netfilter/xt_NAME.c).

func policyHooks(u *Use) []string {
	switch dir := u.Option("--dir"); {
	case dir == nil:
		return nil
	case dir.Values[0] == "in":
		return []string{"PREROUTING", "INPUT", "FORWARD"}
	}
	return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
}

// physdevHooks: the bridge that a packet leaves by is not known where the host
// sends it itself.
func physdevHooks(u *Use) []string {
	bridged := u.Option("--physdev-is-bridged")
	if (u.Option("--physdev-out") == nil && u.Option("--physdev-is-out") == nil) || bridged != nil && !bridged.Not {
		return nil
	}
	return []string{"PREROUTING", "INPUT", "FORWARD", "POSTROUTING"}
}

func clampHooks(u *Use) []string {
	if u.Option("--clamp-mss-to-pmtu") == nil {
		return nil
	}
	return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
}

// devgroupHooks: what a packet leaves by is not known before it is routed, and
// what it came by is gone after (xt_devgroup.c, devgroup_mt_checkentry).
func devgroupHooks(u *Use) []string {
	in, out := []string{"PREROUTING", "INPUT", "FORWARD"}, []string{"FORWARD", "OUTPUT", "POSTROUTING"}
	switch from, to := u.Option("--src-group") != nil, u.Option("--dst-group") != nil; {
	case from && to:
		return []string{"FORWARD"}
	case from:
		return in
	}
	return out
}
