// Package nftoracle evaluates nftables rulesets the slow and obvious way, so
// that whatever reads and proves nft files can be judged by something that
// shares no code with it.
//
// It does not read nft's text: it reads what nft itself says of a ruleset that
// it has loaded, the JSON of "nft -j list ruleset" (libnftables-json(5)). It
// takes one packet through the base chains of a hook as the kernel does and
// returns every verdict that is possible. A match that it cannot evaluate is
// followed both ways; a statement that it does not know may do anything. It
// also makes random rulesets in the style of those that people and tools write,
// and random packets that are likely to hit their rules.
//
// The facts come from the manual pages nft(8) and libnftables-json(5), from the
// kernel's net/netfilter/nf_tables_core.c and nft_*.c, and from what nft 1.0.6,
// 1.1.3 and 1.1.7 print. The test compares the package with the running kernel.
//
// The JSON is what nft reads back out of the kernel, and nft leaves out the
// loads that it takes for implied ("meta l4proto tcp" before "tcp dport"). So
// the package puts them back, see (env).payload. But 1.0.6, 1.1.3 and 1.1.7 also
// leave out some that are not implied, and the listing, as JSON and as text, is
// then another ruleset than the kernel has:
//
//	meta nfproto ipv6 tcp dport 80 reject with tcp reset  (inet: lists no family)
//	meta protocol ip tcp dport 80 reject with tcp reset   (inet: lists no protocol)
//	meta protocol ip reject with icmpv6 no-route          (inet: lists no protocol)
//	meta protocol ip ip6 saddr ::1 drop                   (ip6: lists no protocol)
//	ct l3proto ipv4 ct protocol tcp drop                  (lists no l3proto)
//
// Nobody who only has the listing can know. Random rulesets have none of these.
package nftoracle
