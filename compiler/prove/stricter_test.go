package prove

import (
	"testing"

	"github.com/seawall/seawall/compiler/packet"
)

// Stricter is: no way in which the file may decide lets a packet further than the policy.
func TestStricter(t *testing.T) {
	const reject = packet.Reset
	for _, x := range []struct {
		policy, file packet.Verdict
		want         bool
	}{
		{packet.Pass, packet.Deny, true},
		{packet.Pass, reject, true},
		{packet.Pass, packet.HostDeny, true},
		{packet.Accept, packet.Pass, true},
		{packet.Accept, packet.Deny, true},
		{packet.Deny, reject, true},
		{reject, packet.Deny, true},
		{reject, packet.OtherReject, true},
		{packet.Deny, packet.Pass, false},
		{packet.Deny, packet.Accept, false},
		{packet.Pass, packet.Accept, false},
		// It may match or not.
		{packet.Pass, packet.Pass | packet.Deny, true},
		{packet.Accept, packet.Accept | packet.Pass | packet.Deny, true},
		{packet.Deny, packet.Deny | reject, true},
		{packet.Deny, packet.Deny | packet.Pass, false},
		{packet.Pass, packet.Accept | packet.Deny, false},
		// Nobody knows what it does.
		{packet.Pass, packet.Pass | packet.Unknown, false},
		{packet.Deny, packet.Unknown, false},
	} {
		if got := stricter(x.policy, x.file); got != x.want {
			t.Errorf("policy %s, file %s: %v", x.policy, x.file, got)
		}
	}
}
