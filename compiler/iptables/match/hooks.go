package match

// For these modules, the chains in which the kernel accepts them depend on their
// options (checkentry in net/netfilter/xt_NAME.c).

func policyHooks(u *Use) []string {
	switch dir := u.Option("--dir"); {
	case dir == nil:
		return nil
	case dir.Values[0] == "in":
		return []string{"PREROUTING", "INPUT", "FORWARD"}
	}
	return []string{"FORWARD", "OUTPUT", "POSTROUTING"}
}

// physdevHooks: the bridge port that a packet leaves through is not known for
// packets that the host itself sends.
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

// devgroupHooks: the interface that a packet leaves through is not known before
// routing, and the one that it came in on is not known after it (xt_devgroup.c,
// devgroup_mt_checkentry).
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
