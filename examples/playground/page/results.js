// What is shown of an answer.
const $ = id => document.getElementById(id);

function element(name, props, ...children) {
  const e = Object.assign(document.createElement(name), props);
  e.append(...children);
  return e;
}

// words sums an answer up, for the line above the results.
export function words(answer) {
  const errors = answer.findings.filter(f => f.severity === "error").length;
  const others = answer.findings.length - errors;
  const some = (n, one, many) => (n === 1 ? "1 " + one : n + " " + many);
  const failed = (answer.tests || []).filter(t => t.failures).length;
  if (!answer.summary && errors === 0) return answer.failure || "No answer.";
  if (!answer.summary) return some(errors, "mistake", "mistakes") + " in the policy.";
  if (!answer.files) return "The policy is valid, and no file was written.";
  return "Valid and proved: " + some(answer.files.length, "file", "files") +
    (others ? ", " + some(others, "finding", "findings") : "") + (failed ? ", " + some(failed, "test fails", "tests fail") : "") + ".";
}

// show shows an answer in every pane. The page has two things to do: go to a place in the
// policy, and copy a text.
export function show(answer, page) {
  showFindings(answer, page);
  showFiles(answer, page);
  showReach(answer);
  showText("explain", answer, answer.explain);
  showDiff(answer);
}

function showFindings(answer, page) {
  $("summary").textContent = answer.summary || "";
  $("proof").textContent = answer.proof || "";
  const list = answer.findings.map(f => finding(f, page));
  if (answer.failure) list.push(element("li", { className: "error" }, answer.failure));
  $("finding-list").replaceChildren(...list);
  const tests = answer.tests || [];
  $("tests").hidden = tests.length === 0;
  $("test-list").replaceChildren(...tests.map(test));
  $("notes").replaceChildren(...(answer.notes || []).map(n => element("li", {}, n)));
}

const titles = { error: "Error", warning: "Warning", hint: "Hint" };

function finding(f, page) {
  const item = element("li");
  const what = element("div", {}, element("span", { className: "what " + f.severity }, titles[f.severity] + ": "));
  what.append(element("span", { className: "what" }, f.summary), " ");
  if (f.code) what.append(element("a", { href: f.url, target: "_blank", rel: "noreferrer" }, f.code));
  item.append(what);
  if (f.file) {
    const place = element("button", { type: "button", className: "place" }, `${f.file}:${f.line}:${f.column}`);
    place.addEventListener("click", () => page.go(f));
    item.append(place);
  }
  if (f.detail) item.append(element("div", { className: "detail" }, f.detail));
  return item;
}

function test(t) {
  const failed = t.failures || [];
  const item = element("li", {}, element("span", { className: failed.length ? "bad" : "good" }, failed.length ? "fails" : "holds"), " " + t.name);
  if (failed.length) item.append(element("ul", {}, ...failed.map(f => element("li", {}, f))));
  return item;
}

function showFiles(answer, page) {
  const files = answer.files || [];
  $("files").querySelector(".nothing").hidden = files.length > 0;
  $("files").querySelector(".nothing").textContent = answer.failure || "There are no files while the policy has mistakes.";
  $("file-list").replaceChildren(...files.map(f => file(f, page)));
  $("switch-on").hidden = !answer.switch_on;
  if (answer.switch_on) {
    $("switch-on").querySelector("p").textContent = answer.switch_on.why;
    $("switch-on").querySelector("pre").textContent = answer.switch_on.lines.join("\n");
  }
}

function file(f, page) {
  const copy = element("button", { type: "button" }, "Copy"), save = element("button", { type: "button" }, "Download");
  copy.setAttribute("aria-label", "Copy " + f.name);
  save.setAttribute("aria-label", "Download " + f.name);
  copy.addEventListener("click", () => page.copy(f.text, f.name));
  save.addEventListener("click", () => download(f));
  const text = element("pre", { tabIndex: 0 }, f.text);
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", f.name);
  return element("div", { className: "file" }, element("div", { className: "bar" }, element("h3", {}, f.name), copy, save), text);
}

function download(f) {
  const url = URL.createObjectURL(new Blob([f.text], { type: "application/octet-stream" }));
  element("a", { href: url, download: f.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// showReach shows the rendered page in a frame that may run nothing. Its links would lead to
// the address of the page around it.
function showReach(answer) {
  const frame = $("page"), text = (answer.page || "").replace(/<script>[^]*?<\/script>/g, "").replaceAll('href="#', 'href="about:srcdoc#');
  $("reach").querySelector(".nothing").hidden = text !== "";
  frame.hidden = text === "";
  if (text !== "" && frame.srcdoc !== text) frame.srcdoc = text;
}

function showText(name, answer, given) {
  const pre = $(name + "-text"), failure = given && given.failure;
  pre.hidden = !given || !(given.text || failure);
  pre.textContent = (given && (failure || given.text)) || "";
  pre.classList.toggle("bad", Boolean(failure));
  $(name).querySelector(".nothing").hidden = Boolean(answer.summary);
  const note = $(name + "-note");
  if (note) note.textContent = given && given.note ? "Note: " + given.note + "." : "";
}

function showDiff(answer) {
  showText("diff", answer, answer.diff);
  if (answer.diff && answer.diff.text) $("diff-text").replaceChildren(...answer.diff.text.split("\n").map(changed));
}

// changed is a line of a diff in its colour.
function changed(line) {
  const sign = line.replace(/^\d+\. /, "");
  const kind = line.startsWith("WARNING") ? "loud" : sign.startsWith("+") ? "add" : sign.startsWith("-") ? "del" : line.startsWith("@@") ? "at" : "";
  return element("span", { className: kind }, line + "\n");
}
