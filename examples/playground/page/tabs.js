// A row of tabs that the keyboard works as everywhere: the arrows go from tab to tab, Home and
// End to the ends, and Tab leaves the row.
export function tabs(list, chosen) {
  const all = () => [...list.querySelectorAll("[role=tab]")];
  list.addEventListener("click", e => {
    const tab = e.target.closest("[role=tab]");
    if (tab) chosen(tab);
  });
  list.addEventListener("keydown", e => {
    const row = all(), at = row.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: row.length - 1 }[e.key];
    if (at < 0 || to === undefined) return;
    e.preventDefault();
    const tab = row[(to + row.length) % row.length];
    chosen(tab);
    list.querySelector("[aria-selected=true]").focus();
  });
}

export function select(list, tab) {
  for (const t of list.querySelectorAll("[role=tab]")) {
    t.setAttribute("aria-selected", t === tab);
    t.tabIndex = t === tab ? 0 : -1;
  }
}
