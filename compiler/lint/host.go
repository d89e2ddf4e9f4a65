package lint

import (
	"fmt"
	"slices"

	"github.com/seawall/seawall/schema"
)

// interfaces finds a loopback that is external, and internal interfaces that
// change nothing.
func (l *linter) interfaces() {
	host := l.doc.Host
	lo := schema.Interface{Name: "lo"}
	covers := func(i schema.Interface) bool { return i.Covers(lo) }
	at := slices.IndexFunc(host.External, covers)
	if at >= 0 && host.UserlandProxy && !slices.ContainsFunc(host.Internal, covers) {
		l.add(nil, Finding{Code: "SW009", Summary: "The host's own connections are judged", At: host.External[at].Range,
			Detail: fmt.Sprintf("%q covers lo, so the host's own connections to published ports are judged like those from outside where they reach docker-proxy. Unless that is meant, add \"lo\" to internal.", host.External[at])})
	}
	for _, i := range host.Internal {
		meets := func(e schema.Interface) bool { return e.Covers(i) || i.Covers(e) }
		if !slices.ContainsFunc(host.External, meets) {
			l.add(nil, Finding{Code: "SW010", Summary: "An internal interface that is not external anyway", At: i.Range,
				Detail: fmt.Sprintf("No element of external covers %q, so naming it in internal changes nothing.", i)})
		}
	}
}
