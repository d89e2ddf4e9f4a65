package render

import (
	"fmt"

	"github.com/seawall/seawall/schema"
)

// Setting is an attribute of the host block, whether it was written or not, with what it
// does.
type Setting struct{ Name, Value, Meaning string }

// settings are the host block's attributes: each one that the language has stands here.
func settings(h *schema.Host) []Setting {
	shown := host(h)
	list := []Setting{{"external", joined(shown.External), "what arrives here comes from outside, and the policies decide about it; other traffic is left to Docker"}}
	if len(shown.Internal) > 0 {
		list = append(list, Setting{"internal", joined(shown.Internal), "these are not external, although a pattern covers them"})
	}
	if len(shown.Bridges) > 0 {
		list = append(list, Setting{"bridges", joined(shown.Bridges), "the policies decide only about traffic that leaves here; what the host forwards elsewhere passes"})
	}
	list = append(list, Setting{"unlisted", shown.Unlisted, unlistedMeanings[shown.Unlisted]},
		Setting{"established", shown.Established, establishedMeanings[shown.Established]})
	if meaning, ok := relatedMeanings[shown.Related]; ok {
		list = append(list, Setting{"related", shown.Related, meaning})
	}
	if shown.Invalid != "" {
		list = append(list, Setting{"invalid", shown.Invalid, "forwarded packets that conntrack finds invalid are dropped, on every interface"})
	}
	list = append(list, Setting{"userland_proxy", fmt.Sprint(h.UserlandProxy), proxyMeanings[h.UserlandProxy]},
		Setting{"log_limit", fmt.Sprintf("%d/%s", h.LogLimit.Count, h.LogLimit.Unit), "each log prefix is written this often at most"})
	if h.AcceptMark != 0 {
		list = append(list, Setting{"accept_mark", fmt.Sprintf("%#x", h.AcceptMark), "what is accepted past Docker's own rules has this packet mark, in the format nftables"})
	}
	return list
}

var unlistedMeanings = map[string]string{
	"allow":  "traffic from outside that no policy names is left to Docker",
	"deny":   "traffic from outside that no policy names is dropped on its way to containers",
	"reject": "traffic from outside that no policy names is rejected on its way to containers",
}

var establishedMeanings = map[string]string{
	"check":  "packets of every connection are judged: a change also ends connections that it no longer allows",
	"keep":   "a change does not end connections that were let in",
	"accept": "packets of established connections are accepted on every interface, past Docker's own rules",
}

// relatedMeanings has no "check": related packets are then judged like others.
var relatedMeanings = map[string]string{
	"keep":   "packets that are related to a known connection, such as FTP data, are let in",
	"accept": "packets that are related to a known connection are accepted on every interface, past Docker's own rules",
}

var proxyMeanings = map[bool]string{
	true:  "docker-proxy listens on published ports as well: the policies also hold for packets to the host itself (chain INPUT)",
	false: "packets to the host itself are left to the host's own rules",
}
