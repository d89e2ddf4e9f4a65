// Finds policies and sets by a name, a port or an address. Everything it knows is in
// search-index.js, so it works without a server, from a folder too.
(function () {
  "use strict";
  var box = document.getElementById("search"), index = window.seawallIndex;
  if (!box || !index) return;
  box.hidden = false;
  var input = box.querySelector("input"), status = box.querySelector("[role=status]"), list = box.querySelector("ul");

  // number reads an address as its family and a number; null for anything else.
  function number(text) {
    var v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
    if (v4) {
      var n = 0n;
      for (var i = 1; i < 5; i++) {
        if (+v4[i] > 255) return null;
        n = n * 256n + BigInt(v4[i]);
      }
      return { family: 4, n: n };
    }
    if (!/^[0-9a-f:]*:[0-9a-f:]*$/i.test(text) || text.indexOf("::") !== text.lastIndexOf("::") || /:::/.test(text)) return null;
    var halves = text.split("::").map(function (h) { return h === "" ? [] : h.split(":"); });
    var groups = halves[0];
    if (halves.length === 2) {
      var missing = 8 - halves[0].length - halves[1].length;
      if (missing < 1) return null;
      for (groups = halves[0].slice(); missing > 0; missing--) groups.push("0");
      groups = groups.concat(halves[1]);
    }
    if (groups.length !== 8 || !groups.every(function (g) { return /^[0-9a-f]{1,4}$/i.test(g); })) return null;
    return { family: 6, n: groups.reduce(function (n, g) { return n * 65536n + BigInt(parseInt(g, 16)); }, 0n) };
  }

  // within reports whether ranges, each "first-last" in hexadecimal and in order, have a number.
  function within(ranges, n) {
    return ranges.some(function (r) {
      var ends = r.split("-");
      return BigInt("0x" + ends[0]) <= n && n <= BigInt("0x" + ends[1]);
    });
  }

  // found says why an entry is found; null where it is not.
  function found(entry, words) {
    var why = "";
    for (var i = 0; i < words.length; i++) {
      var w = words[i], address = number(w);
      if (address) {
        var ranges = address.family === 4 ? entry.v4 : entry.v6;
        if (within(ranges, address.n)) why = (entry.kind === "policy" ? "reached by " : "has ") + w;
        else if (entry.cut) why = "too many sources to search for " + w + " here";
        else return null;
      } else if (/^\d{1,5}$/.test(w) && entry.ports.some(function (p) { return p[0] <= +w && +w <= p[1]; })) {
        why = why || "port " + w;
      } else if (entry.text.indexOf(w) < 0) {
        return null;
      }
    }
    return why;
  }

  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), n = 0;
    list.textContent = "";
    index.forEach(function (entry) {
      var why = words.length ? found(entry, words) : null;
      if (why === null) return;
      n++;
      var item = document.createElement("li"), link = document.createElement("a"), note = document.createElement("span");
      link.href = entry.url;
      link.textContent = entry.name;
      note.className = "soft";
      note.textContent = " " + entry.kind + (entry.shown ? " " + entry.shown : "") + (why ? ", " + why : "");
      item.append(link, note);
      list.append(item);
    });
    status.textContent = words.length ? (n === 0 ? "nothing found" : n + " found") : "";
  });
})();
