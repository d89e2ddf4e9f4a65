// The page: what the policy is, what is asked about it, and where the answers go.
import { examples, formats, version } from "./data.js";
import { Compiler } from "./compiler.js";
import { Editor } from "./editor.js";
import { fragment, sound, stateOf } from "./link.js";
import { show, words } from "./results.js";
import { select, tabs } from "./tabs.js";

const $ = id => document.getElementById(id);
const pause = 200; // of typing, before the policy is compiled
const longestAddress = 16000; // of a policy that is kept in the address as it is typed
const mostHad = 5; // policies that one can go back to

// What a link carries: files by name, and what is chosen. The open file is the page's alone.
let state, open = "", last = { findings: [] }, timer;
// What was there before, the latest last; and whether what is there now is an example.
let had = [], example = false;
// What the address holds, and how often it was written or read: the last time counts.
let held = "", turn = 0;
// Whether the tab keeps what is there now, the compiler answers, and the alert is about a link.
let inTab = false, ready = false, aboutLink = false;

const compiler = new Compiler(answered, said);
const editor = new Editor($("text"), $("numbers"), text => { state.files[open] = text; changed(); }, parted);

const isPolicy = name => /\.hcl(\.json)?$/.test(name) && !isVariables(name);
const isVariables = name => /\.vars\.(hcl|json)$/.test(name);

// filesOf copies files, with ends of lines as the editor has them. The copy inherits nothing: a
// file may be called toString.
function filesOf(files) {
  const copy = Object.create(null);
  for (const name of Object.keys(files)) copy[name] = files[name].replace(/\r\n?/g, "\n");
  return copy;
}

function copyOf(s) {
  return { ...s, files: filesOf(s.files), before: s.before && { ...s.before, files: filesOf(s.before.files) } };
}

function policyOf(s) {
  return { files: s.files, var_files: s.varFile ? [s.varFile] : [] };
}

function request() {
  return {
    policy: policyOf(state), format: state.format, layout: state.layout, render: true,
    before: state.before ? policyOf(state.before) : null,
    explain: state.from && state.to ? { from: state.from, to: state.to, chain: state.chain } : null,
  };
}

// changed is called after every change: it asks again, once nobody types.
function changed() {
  example = false;
  if (aboutLink) alarm("");
  check();
}

function check() {
  if (ready) {
    stale(true);
    status("Checking…");
  }
  clearTimeout(timer);
  timer = setTimeout(() => { compiler.ask(request()); share(); }, pause);
}

function answered(answer) {
  last = answer;
  stale(false);
  mark();
  show(answer, { go, copy });
  status(words(answer));
}

function said(what, why) {
  const because = why ? ": " + why : "";
  ready = what !== "broken";
  if (what === "slow") status("Still working. You can go on typing; what is below is about the policy as it was before.");
  if (what === "stopped") status("The compiler stopped" + because + ". Change the policy to try again.");
  if (what === "broken") status("The compiler does not start" + because + ". Reload the page to try again.");
  if (what !== "ready") stale(true);
}

// stale shows that the results are not about the policy as it is now.
function stale(is) {
  $("results").classList.toggle("stale", is);
  $("results").setAttribute("aria-busy", is);
}

function status(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

// mark marks the lines of the open file that have findings, the worst of each.
function mark() {
  const marks = new Map(), rank = ["hint", "warning", "error"];
  for (const f of last.findings) {
    if (f.file === open && rank.indexOf(f.severity) > rank.indexOf(marks.get(f.line))) marks.set(f.line, f.severity);
  }
  editor.mark(marks);
}

function go(finding) {
  if (state.files[finding.file] === undefined) return;
  openFile(finding.file);
  editor.go(finding.start, finding.end, finding.line);
}

async function copy(text, what) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch { /* the browser does not allow it */ }
  status(done ? "Copied " + what + "." : "The browser does not let the page copy. Select the text, and copy it.");
}

// Files.

// parted says which lines of a long text are shown.
function parted(before, shown, all) {
  const number = n => n.toLocaleString("en");
  $("parts").hidden = shown === all;
  $("part").textContent = `Lines ${number(before + 1)} to ${number(before + shown)} of ${number(all)}`;
  $("earlier").disabled = before === 0;
  $("later").disabled = before + shown === all;
}

function openFile(name) {
  open = name;
  for (const tab of $("file-tabs").children) if (tab.dataset.name === name) select($("file-tabs"), tab);
  $("file-panel").setAttribute("aria-labelledby", $("file-tabs").querySelector("[aria-selected=true]").id);
  $("remove").hidden = Object.keys(state.files).length === 1;
  editor.show(state.files[name], name);
  mark();
}

// order is the order of tabs: policies, variables, lists.
function order(names) {
  const kind = n => (n === "policy.hcl" ? 0 : isPolicy(n) ? 1 : isVariables(n) ? 2 : 3);
  return names.sort((a, b) => kind(a) - kind(b) || (a < b ? -1 : 1));
}

function showFiles() {
  $("file-tabs").replaceChildren(...order(Object.keys(state.files)).map((name, i) => {
    const tab = Object.assign(document.createElement("button"), { type: "button", id: "file-" + i, textContent: name });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "file-panel");
    tab.dataset.name = name;
    return tab;
  }));
  showVariables();
}

function showVariables() {
  const names = Object.keys(state.files).filter(isVariables);
  $("variables").hidden = names.length === 0;
  if (!names.includes(state.varFile)) state.varFile = names[0];
  fill($("var-file"), names.map(n => [n, n]), state.varFile);
}

function fill(list, options, chosen) {
  list.replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

function addFile(name) {
  if (!/^[^/\s][^\0\n]*$/.test(name) || name.split("/").includes("..")) return "A name is a path below the policy's folder, such as blocklist.txt.";
  if (state.files[name] !== undefined) return `There is a file ${name} already.`;
  state.files[name] = isPolicy(name) || isVariables(name) ? "" : "# one address, CIDR or range on each line\n";
  showFiles();
  openFile(name);
  changed();
  return "";
}

function removeFile() {
  const name = open;
  remember(state);
  delete state.files[name];
  showFiles();
  openFile($("file-tabs").firstChild.dataset.name);
  changed();
  status(`Removed ${name}.`);
}

// remember keeps a state, to go back to it.
function remember(s) {
  had = [...had, copyOf(s)].slice(-mostHad);
  inTab = false; // what the tab keeps is not what is there next
  $("undo").hidden = false;
}

// back takes what was there last. What is there now comes last of all, so nothing is lost.
function back() {
  had.unshift(copyOf(state));
  inTab = false;
  set(had.pop());
  $("text").focus();
}

// The whole state.

function set(next) {
  state = { format: formats[0].name, layout: "auto", from: "", to: "", chain: "forward", ...copyOf(next) };
  if (!formats.some(f => f.name === state.format)) state.format = formats[0].name;
  $("from").value = state.from;
  $("to").value = state.to;
  $("chain").value = state.chain === "input" ? "input" : "forward";
  fill($("format"), formats.map(f => [f.name, f.name]), state.format);
  showLayouts();
  showFiles();
  openFile($("file-tabs").firstChild.dataset.name);
  showPin();
  showCommand();
  example = false;
  check();
}

function showLayouts() {
  const format = formats.find(f => f.name === state.format);
  if (!format.layouts.includes(state.layout)) state.layout = format.layouts[0];
  fill($("layout"), format.layouts.map(l => [l, l]), state.layout);
  $("layout").disabled = format.layouts.length === 1;
  $("format-summary").textContent = "Files: " + format.summary + ".";
}

function showExample(name) {
  const chosen = examples.find(e => e.name === name);
  if (!chosen) return;
  if (aboutLink) alarm("");
  if (!example) remember(state); // an example has its menu
  set({ ...state, files: chosen.files, varFile: chosen.var_files[0], from: "", to: "" });
  example = true;
  status(`Opened the example ${name}.`);
}

function showPin() {
  $("unpin").hidden = $("restore").hidden = !state.before;
  $("pin").textContent = state.before ? "Pin as it is now" : "Pin this policy";
  $("pinned").textContent = state.before ? "The change from the pinned policy to the one in the editor:" :
    "Pin the policy as it is. Then change it, and see here who gains or loses which port.";
}

function showCommand() {
  const shell = text => (/^[\w.:/+-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");
  const variables = state.varFile ? " --var-file " + shell(state.varFile) : "";
  const chain = state.chain === "input" ? " --chain input" : "";
  $("command").textContent = state.from && state.to ? `seawall explain .${variables} --from ${shell(state.from)} --to ${shell(state.to)}${chain}` : "";
}

// share writes the link, and keeps a policy that was changed in the address; one for which that
// is too short, in the tab.
async function share() {
  const mine = ++turn, text = JSON.stringify(state);
  let part = "", why = "";
  try {
    part = "#" + await fragment(state);
  } catch (e) {
    why = e.message;
  }
  if (mine !== turn) return;
  const url = part && new URL(part, location.href).href, short = part !== "" && url.length <= longestAddress;
  $("link").value = url;
  $("copy-link").disabled = part === "";
  $("no-link").textContent = why && `This policy cannot be put into a link: ${why}.`;
  $("link-size").textContent = part && url.length.toLocaleString("en") + " characters" + (short ? "" : ": some programs cut off a link as long as this");
  if (short && text !== held) history.replaceState(null, "", part);
  if (short) held = text;
  if (text === held) keep("", "");
  else keep(text, why ? why + "." : "it is too long. The Share tab has a link.");
}

// keep keeps a policy in the tab, where the address does not hold it, and says so.
function keep(text, why) {
  let kept = true;
  try {
    if (text) sessionStorage.setItem("policy", text);
    else if (inTab) sessionStorage.removeItem("policy");
  } catch {
    kept = false; // there is no room
  }
  onbeforeunload = text && !kept ? e => e.preventDefault() : null;
  $("kept").textContent = text && `The address does not hold this policy: ${why} ` +
    (kept ? "This tab keeps it until it is closed." : "Nothing keeps it when you leave the page.");
  inTab = Boolean(text);
  if (!inTab) return;
  history.replaceState({ kept: true }, "", location.pathname + location.search);
  held = "";
}

// kept is the policy that the tab keeps, if any.
function kept() {
  try {
    const policy = JSON.parse(sessionStorage.getItem("policy"));
    return sound(policy) ? policy : null;
  } catch {
    return null;
  }
}

function alarm(text, link = false) {
  $("alert").textContent = text;
  aboutLink = link;
}

// opened shows the policy of the address; where there is none, or a wrong one, that which the
// tab keeps, or an example.
async function opened() {
  const mine = ++turn;
  let linked = null, wrong = "";
  try {
    linked = await stateOf(location.hash);
  } catch (e) {
    wrong = e.message;
  }
  if (mine !== turn) return;
  alarm(wrong, true);
  if (linked) return follow(linked);
  held = "";
  if (state) return history.state?.kept && had.length ? back() : share();
  const tab = kept();
  if (tab) return set(tab);
  const first = examples.find(e => e.name === "web") || examples[0];
  set({ files: first.files, varFile: first.var_files[0] });
  example = true;
}

// follow opens the policy of a link. What was there, or what the tab keeps, can be had back.
function follow(linked) {
  const now = state && !example ? state : kept();
  set(linked);
  held = JSON.stringify(state);
  if (now && JSON.stringify(now) !== held) remember(now);
}

function wire() {
  tabs($("file-tabs"), tab => openFile(tab.dataset.name));
  tabs($("result-tabs"), showResult);
  showResult($("tab-findings"));
  $("example").append(...examples.map(e => new Option(e.title ? `${e.name}: ${e.title}` : e.name, e.name)));
  on("example", "change", e => { showExample(e.target.value); e.target.value = ""; });
  on("undo", "click", back);
  on("earlier", "click", () => editor.turn(-1));
  on("later", "click", () => editor.turn(1));
  on("var-file", "change", e => { state.varFile = e.target.value; showCommand(); changed(); });
  on("add", "click", () => adding($("adding").hidden));
  on("adding", "submit", e => { e.preventDefault(); added(); });
  on("remove", "click", removeFile);
  on("format", "change", e => { state.format = e.target.value; showLayouts(); changed(); });
  on("layout", "change", e => { state.layout = e.target.value; changed(); });
  for (const name of ["from", "to", "chain"]) on(name, "input", e => { state[name] = e.target.value.trim(); showCommand(); changed(); });
  on("packet", "submit", e => e.preventDefault());
  on("pin", "click", () => pin({ files: filesOf(state.files), varFile: state.varFile }));
  on("unpin", "click", () => pin(undefined));
  on("restore", "click", () => { remember(state); set({ ...state, ...state.before }); status("The pinned policy is in the editor."); });
  on("copy-link", "click", async () => { await share(); if ($("link").value) await copy($("link").value, "the link"); });
  on("link", "focus", e => e.target.select());
  addEventListener("hashchange", opened);
  $("version").textContent = version;
}

function on(id, event, act) { $(id).addEventListener(event, act); }

function pin(policy) {
  state.before = policy;
  showPin();
  $("pin").focus();
  changed();
}

function adding(show) {
  $("adding").hidden = !show;
  $("add").setAttribute("aria-expanded", show);
  if (show) $("new-name").focus();
}

function added() {
  const wrong = addFile($("new-name").value.trim());
  $("new-name").setCustomValidity(wrong);
  if (wrong) {
    $("new-name").reportValidity();
    $("new-name").addEventListener("input", e => e.target.setCustomValidity(""), { once: true });
    return;
  }
  $("new-name").value = "";
  adding(false);
  $("text").focus();
}

function showResult(tab) {
  select($("result-tabs"), tab);
  for (const t of $("result-tabs").children) $(t.getAttribute("aria-controls")).hidden = t !== tab;
}

wire();
await opened();
try {
  await compiler.load("seawall.wasm.gz");
} catch (e) {
  alarm("The compiler could not be loaded: " + e.message + ". Reload the page to try again.");
  status("");
}
