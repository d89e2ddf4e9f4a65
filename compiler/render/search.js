// Finds policies and sets by a name, a port, or addresses. Everything it knows is in
// search-index.js, so it works without a server, from a folder too.
(function () {
  "use strict";
  var box = document.getElementById("search"), index = window.seawallIndex;
  if (!box || !index) return;
  box.hidden = false;
  var input = box.querySelector("input"), status = box.querySelector("[role=status]"), list = box.querySelector("ul");

  // number reads an address as its family, 0 for IPv4 and 1 for IPv6, and a number; null for
  // anything else.
  function number(text) {
    if (/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) {
      var bytes = text.split(".").map(Number);
      if (bytes.some(function (b) { return b > 255; })) return null;
      return { family: 0, n: bytes.reduce(function (n, b) { return n * 256n + BigInt(b); }, 0n) };
    }
    if (!/^[0-9a-f:]*:[0-9a-f:]*$/.test(text) || text.indexOf("::") !== text.lastIndexOf("::") || /:::/.test(text)) return null;
    var halves = text.split("::").map(function (h) { return h === "" ? [] : h.split(":"); });
    var groups = halves[0];
    if (halves.length === 2) {
      var missing = 8 - halves[0].length - halves[1].length;
      if (missing < 1) return null;
      for (groups = halves[0].slice(); missing > 0; missing--) groups.push("0");
      groups = groups.concat(halves[1]);
    }
    if (groups.length !== 8 || !groups.every(function (g) { return /^[0-9a-f]{1,4}$/.test(g); })) return null;
    return { family: 1, n: groups.reduce(function (n, g) { return n * 65536n + BigInt(parseInt(g, 16)); }, 0n) };
  }

  // addresses reads an address, a network or a range; null for anything else.
  function addresses(text) {
    var ends = text.split("-"), net = text.split("/"), first = number(ends.length === 2 ? ends[0] : net[0]);
    if (!first) return null;
    if (ends.length === 2) {
      var last = number(ends[1]);
      if (!last || last.family !== first.family || last.n < first.n) return null;
      return { text: text, family: first.family, first: first.n, last: last.n };
    }
    if (net.length === 1) return { text: text, family: first.family, first: first.n, last: first.n };
    var bits = first.family === 0 ? 32 : 128;
    if (net.length !== 2 || !/^(0|[1-9]\d{0,2})$/.test(net[1]) || +net[1] > bits) return null;
    var size = 1n << BigInt(bits - net[1]), start = first.n / size * size;
    return { text: text, family: first.family, first: start, last: start + size - 1n };
  }

  // ports reads a port, a range of ports or a protocol; null for anything else.
  function ports(text) {
    var m = /^(0|[1-9]\d{0,4})(?:-([1-9]\d{0,4}))?(?:\/(tcp|udp|sctp))?$/.exec(text);
    if (!m) return /^(tcp|udp|sctp)$/.test(text) ? { text: text, first: 0, last: 65535, protocol: text } : null;
    var first = +m[1], last = +(m[2] || first);
    return first <= last && last <= 65535 ? { text: text, first: first, last: last, protocol: m[3] } : null;
  }
  var everyPort = { text: "", first: 0, last: 65535 };

  // part says how much of some addresses is in ranges, each "first-last" in hexadecimal and in
  // order: "all", "part", "" for nothing, or "unknown" where the ranges are cut off before.
  function part(ranges, cut, a) {
    var from = 0, to = ranges.length, ends = function (i) { return ranges[i].split("-").map(function (h) { return BigInt("0x" + h); }); };
    while (from < to) {
      var middle = (from + to) >> 1;
      if (ends(middle)[1] < a.first) from = middle + 1; else to = middle;
    }
    if (from === ranges.length) return cut ? "unknown" : "";
    var found = ends(from);
    if (found[0] <= a.first && a.last <= found[1]) return "all";
    return found[0] <= a.last ? "part" : "";
  }

  // ofAddresses says what an entry has to do with addresses; null where it has nothing.
  function ofAddresses(entry, a) {
    var reached = part(entry.sources[a.family] || [], entry.cut[a.family], a), why = [];
    var some = a.first === a.last ? "" : reached === "all" ? "all of " : "a part of ";
    if (reached === "unknown") why.push("too many sources to search for " + a.text + " here");
    else if (reached) why.push((entry.kind === "policy" ? "reached by " : "has ") + some + a.text);
    if (part(entry.at[a.family] || [], false, a)) why.push("has " + (some ? "host addresses in " : "the host address ") + a.text);
    return why.length ? why.join(", ") : null;
  }

  // ofPorts says about which of some ports a policy decides, and where; null where it decides
  // about none, as narrower policies do. It has to in each family of the query's addresses.
  function ofPorts(entry, p, query) {
    var named = entry.ports.filter(function (x) {
      return x[1] <= p.last && p.first <= x[2] && (!p.protocol || p.protocol === x[0]);
    }).map(function (x) {
      var how = query.families.map(function (f) { return x[3 + f]; }), least = Math.min.apply(null, how), most = Math.max.apply(null, how);
      if (least < most) least = least === 0 && query.addresses.length ? 0 : 1;
      return { protocol: x[0], first: Math.max(x[1], p.first), last: Math.min(x[2], p.last), how: least };
    });
    var decided = named.filter(function (x) { return x.how > 0; }), pieces = joined(decided), why = [];
    if (!decided.length) return null;
    if (!query.addresses.length && p.first === p.last) why.push("port " + p.text);
    var some = decided.length < named.length;
    if (some && pieces.length <= 3) why.push("on " + pieces.join(" and "));
    if (some && pieces.length > 3 || decided.some(function (x) { return x.how === 1; })) why.push("where a narrower policy does not decide");
    return why;
  }

  // joined writes ports, neighbours together.
  function joined(list) {
    var out = [];
    list.forEach(function (x) {
      var last = out[out.length - 1];
      if (last && last.protocol === x.protocol && last.last + 1 === x.first) last.last = x.last;
      else out.push({ protocol: x.protocol, first: x.first, last: x.last });
    });
    return out.map(function (x) { return (x.first === x.last ? x.first : x.first + "-" + x.last) + "/" + x.protocol; });
  }

  // named reports whether an entry's text has a word; digits only as a whole number.
  function named(entry, word) {
    for (var at = entry.text.indexOf(word); at >= 0; at = entry.text.indexOf(word, at + 1)) {
      if (!/^\d/.test(word) || !/[\d.]$/.test(entry.text.slice(0, at)) && !/^\.?\d/.test(entry.text.slice(at + word.length))) return true;
    }
    return false;
  }

  function read(text) {
    var query = { words: [], addresses: [], ports: [], families: [] };
    text.toLowerCase().split(/\s+/).filter(Boolean).forEach(function (w) {
      var a = addresses(w), p = a ? null : ports(w);
      if (a) query.addresses.push(a);
      else if (p) query.ports.push(p);
      else query.words.push(w);
    });
    query.families = query.addresses.map(function (a) { return a.family; });
    if (!query.families.length) query.families = [0, 1];
    return query;
  }

  // found says why an entry is found; null where it is not.
  function found(entry, query) {
    if (!query.words.every(function (w) { return named(entry, w); })) return null;
    var why = query.addresses.map(function (a) { return ofAddresses(entry, a); });
    var asked = query.ports.length || !why.length || entry.kind !== "policy" ? query.ports : [everyPort];
    for (var i = 0; i < asked.length; i++) {
      var p = asked[i], of = ofPorts(entry, p, query);
      if (of) {
        why.push.apply(why, of);
      } else if (!query.addresses.length && named(entry, p.text)) {
        why.push(p.text + " is in its name or description");
      } else {
        return null;
      }
    }
    return why.indexOf(null) < 0 ? why.join(", ") : null;
  }

  function item(entry, why) {
    var item = document.createElement("li"), link = document.createElement("a"), note = document.createElement("span");
    link.href = entry.url;
    link.textContent = entry.name;
    note.className = "soft";
    note.textContent = " " + entry.kind + (entry.shown ? " " + entry.shown : "") + (why ? ", " + why : "");
    item.append(link, note);
    return item;
  }

  input.addEventListener("input", function () {
    var query = read(input.value), asked = /\S/.test(input.value), n = 0;
    list.textContent = "";
    if (asked) index.entries.forEach(function (entry) {
      var why = found(entry, query);
      if (why === null) return;
      n++;
      list.append(item(entry, why));
    });
    var text = n === 0 ? "nothing found" : n + " found";
    if (query.addresses.length && index.filled.length) text += "; sets that are filled at run time count as empty: " + index.filled.join(", ");
    status.textContent = asked ? text : "";
  });
})();
