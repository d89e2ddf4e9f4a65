package nftoracle

import "slices"

// execute carries out one statement.
func (w *walk) execute(s point, st statement) {
	e := env{s.chain.table, w.packet, s.memory}
	switch st.name {
	case "match":
		w.goOn(s, e.match(st.arg))
	case "accept", "drop", "continue", "return", "jump", "goto":
		w.verdict(s, map[string]any{st.name: st.arg})
	case "vmap":
		w.vmap(s, e, st.arg)
	case "reject":
		w.reject(s, e, st.arg)
	case "mangle":
		w.mangle(s, e, st.arg)
	case "notrack":
		s.memory.notrack = true
		w.next(s)
	case "counter":
		w.goOn(s, named(st.arg))
	case "log", "last", "dup", "flow", "secmark", "ct helper", "ct timeout", "ct expectation":
		w.next(s)
	case "limit", "quota", "ct count", "set", "map", "meter":
		w.goOn(s, maybe)
	case "masquerade", "snat", "dnat", "redirect":
		w.nat(s)
	default:
		w.anything(s)
	}
}

// named reports whether a counter lets every packet pass: one that is found in
// a map does so only for the keys of the map.
func named(arg any) tri {
	if o, ok := arg.(map[string]any); ok && o["map"] != nil {
		return maybe
	}
	return yes
}

// nat ends a chain of type nat: whether it finds addresses to use nobody knows.
func (w *walk) nat(s point) {
	w.final[Outcome{Verdict: "drop"}] = true
	s.memory.mangled = true
	w.after[s.memory] = true
}

// vmap looks up a verdict. Without an element the rule ends (nft_lookup_eval);
// the verdict continue goes on with the next statement of the rule.
func (w *walk) vmap(s point, e env, arg any) {
	o, _ := arg.(map[string]any)
	key, loaded := e.load(o["key"])
	m := e.setOf(o["data"])
	if loaded == no {
		w.nextRule(s)
		return
	}
	if m == nil {
		w.anything(s)
		return
	}
	found, elements := m.lookup(key)
	if min(found, loaded) != yes {
		w.nextRule(s)
	}
	for _, el := range elements {
		w.verdict(s, el.data)
	}
	if m.unsure {
		w.anything(s)
	}
}

// unanswerable reports whether a rule ends at its beginning because it rejects
// with a message of the other family. In an inet table nft puts the check of the
// family before all else of the rule, so that no look-up of a verdict comes first,
// and mostly leaves it out of the listing. Where an expression of the rule asks
// for the family, nft adds no check.
func (w *walk) unanswerable(s point, rule []statement) bool {
	for _, st := range rule {
		if st.name == "reject" {
			o, _ := st.arg.(map[string]any)
			other := map[int]string{4: "icmpv6", 6: "icmp"}[w.packet.family()]
			return s.chain.table.family == "inet" && o["type"] == other
		}
		if mentionsFamily(st.arg) {
			return false
		}
	}
	return false
}

// mentionsFamily reports whether something in an expression is of one family.
func mentionsFamily(x any) bool {
	switch x := x.(type) {
	case []any:
		return slices.ContainsFunc(x, mentionsFamily)
	case map[string]any:
		switch x["protocol"] {
		case "ip", "ip6", "icmp", "icmpv6":
			return true
		}
		for _, v := range x {
			if mentionsFamily(v) {
				return true
			}
		}
		return x["key"] == "nfproto"
	}
	return false
}

// reject answers. nft checks the protocol, or in an inet table the family, that
// the answer needs, and leaves the check out of its listing.
func (w *walk) reject(s point, e env, arg any) {
	o, _ := arg.(map[string]any)
	kind, _ := o["type"].(string)
	code, _ := o["expr"].(string)
	family := w.packet.family()
	if code == "" {
		code = "port-unreachable"
	}
	if kind == "" {
		kind = map[string]string{"ip": "icmp", "ip6": "icmpv6"}[e.table.family]
	}
	name := ""
	switch kind {
	case "tcp reset":
		if w.packet.Protocol != protoTCP {
			w.nextRule(s)
			return
		}
		name = "tcp-reset"
	case "icmp", "icmpv6":
		if (kind == "icmp") != (family == 4) {
			w.nextRule(s)
			return
		}
		name = rejectNames[kind][code]
	case "icmpx", "":
		name = icmpx[code][family]
	}
	if name == "" {
		w.anything(s)
		return
	}
	w.final[Outcome{Verdict: "reject " + name}] = true
}

// mangle sets a mark, or something else of the packet.
func (w *walk) mangle(s point, e env, arg any) {
	o, _ := arg.(map[string]any)
	tag, key := only(o["key"])
	k, _ := key.(map[string]any)
	switch {
	case k["key"] == "mark" && tag == "meta":
		w.setMark(s, e, o["value"], func(m *memory, v mark) { m.mark = v })
	case k["key"] == "mark" && tag == "ct":
		// A packet without an entry goes on as it is (nft_ct_set_eval).
		w.setMark(s, e, o["value"], func(m *memory, v mark) {
			if w.packet.Known {
				m.connMark = v
			}
		})
	case tag == "meta", tag == "ct":
		w.goOn(s, e.loads(o["value"]))
	default:
		_, loaded := e.load(o["key"])
		if loaded == no {
			w.nextRule(s)
			return
		}
		s.memory.mangled = true
		w.goOn(s, maybe)
	}
}

// loads reports whether there is a value: a constant always is.
func (e env) loads(x any) tri {
	if _, ok := x.(map[string]any); !ok {
		return yes
	}
	_, loaded := e.load(x)
	return loaded
}

// setMark sets a mark to every value that the expression may have.
func (w *walk) setMark(s point, e env, x any, set func(*memory, mark)) {
	values, loaded := e.markValues(x)
	if loaded != yes {
		w.nextRule(s)
	}
	for _, v := range values {
		t := s
		set(&t.memory, v)
		w.next(t)
	}
}

// markValues returns the values that an expression may have as a mark, and
// whether it has one.
func (e env) markValues(x any) ([]mark, tri) {
	if c, ok := markKind.constant(x); ok {
		return []mark{markOf(exactly(c))}, yes
	}
	if tag, arg := only(x); tag == "map" {
		return e.mapped(arg)
	}
	operands, loaded := e.load(x)
	if loaded == no {
		return nil, no
	}
	if len(operands) != 1 || operands[0].width != markKind.width {
		return []mark{{}}, min(loaded, maybe)
	}
	return []mark{markOf(operands[0].value)}, loaded
}

// mapped looks up a mark.
func (e env) mapped(arg any) ([]mark, tri) {
	o, _ := arg.(map[string]any)
	key, loaded := e.load(o["key"])
	if loaded == no {
		return nil, no
	}
	m := e.setOf(o["data"])
	if m == nil || m.unsure {
		return []mark{{}}, maybe
	}
	found, elements := m.lookup(key)
	var values []mark
	for _, el := range elements {
		c, ok := markKind.constant(el.data)
		if !ok {
			values = append(values, mark{})
			continue
		}
		values = append(values, markOf(exactly(c)))
	}
	return values, min(found, loaded)
}

func markOf(v value) mark {
	var m mark
	for i := range v.data {
		m.bits = m.bits<<8 | uint32(v.data[i]&v.known[i])
		m.known = m.known<<8 | uint32(v.known[i])
	}
	return m
}
