// A text with numbered lines. Tab indents; Escape lets the next Tab leave, for those who have
// no mouse. Of a text with many lines it shows a part, as browsers lay out all that there is at
// each key.
const mostLines = 10000;

export class Editor {
  // parted is told which part is shown: how many lines are before it, in it and in all.
  constructor(text, numbers, changed, parted) {
    this.text = text;
    this.numbers = numbers;
    this.parted = parted;
    this.before = this.after = "";
    this.linesBefore = this.linesAfter = 0;
    this.marks = new Map();
    this.leaving = false;
    this.lines = 1;
    text.addEventListener("input", e => { this.follow(e); this.count(); this.split(); changed(this.whole()); });
    text.addEventListener("scroll", () => this.number());
    text.addEventListener("keydown", e => this.key(e));
    text.addEventListener("blur", () => { this.leaving = false; });
    new ResizeObserver(() => { this.measured = 0; this.later(); }).observe(text);
  }

  show(text, name) {
    this.text.setAttribute("aria-label", name);
    this.part(text, 1);
  }

  whole() { return this.before + this.text.value + this.after; }

  // part shows the part of a text that has a line.
  part(text, line) {
    const lines = Math.floor((line - 1) / mostLines) * mostLines;
    const start = offset(text, lines), end = offset(text, lines + mostLines);
    this.before = text.slice(0, start);
    this.after = end < text.length ? text.slice(end - 1) : ""; // with the end of the line before
    this.linesBefore = lines;
    this.linesAfter = newlines(this.after);
    this.text.value = text.slice(start, text.length - this.after.length);
    this.text.scrollTop = this.text.scrollLeft = 0;
    this.text.setSelectionRange(0, 0);
    this.count();
  }

  // turn shows the part before or after.
  turn(by) {
    this.part(this.whole(), this.linesBefore + 1 + by * mostLines);
    this.text.focus();
  }

  // split shows less, where somebody pasted much.
  split() {
    if (this.lines <= 2 * mostLines) return;
    const at = this.before.length + this.text.selectionEnd, text = this.whole();
    this.go(at, at, newlines(text.slice(0, at)) + 1, text);
  }

  // mark marks the numbers of lines: a Map of severities by line.
  mark(marks) {
    this.marks = marks;
    this.later();
  }

  count() {
    this.lines = newlines(this.text.value) + 1;
    this.parted(this.linesBefore, this.lines, this.linesBefore + this.lines + this.linesAfter);
    this.measured = 0;
    this.later();
  }

  // later numbers the lines once, before the browser paints.
  later() {
    this.waiting ||= requestAnimationFrame(() => { this.waiting = 0; this.number(); });
  }

  // height is how high a line is. Browsers round what the style says, which adds up.
  height() {
    if (this.measured) return this.measured;
    const style = getComputedStyle(this.text), whole = this.text.scrollHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    return (this.measured = whole > this.text.clientHeight * 2 ? whole / this.lines : parseFloat(style.lineHeight));
  }

  // number writes the numbers of the lines that are seen, and no others: a list has many.
  number() {
    const height = this.height(), top = this.text.scrollTop;
    const first = Math.max(1, Math.floor(top / height)), last = Math.min(this.lines, first + Math.ceil(this.text.clientHeight / height) + 2);
    const parts = document.createDocumentFragment();
    for (let n = first; n <= last; n++) {
      const line = this.linesBefore + n;
      const mark = this.marks.has(line) && Object.assign(document.createElement("b"), { textContent: line, className: this.marks.get(line) });
      parts.append(mark || String(line), "\n");
    }
    this.numbers.style.minWidth = `max(3.2em, ${String(this.linesBefore + this.lines).length}ch + 1.4rem + 1px)`;
    this.numbers.firstElementChild.style.transform = `translateY(${(first - 1) * height - top}px)`;
    this.numbers.firstElementChild.replaceChildren(parts);
  }

  // go selects a part of the text, and scrolls to its line.
  go(start, end, line, text = "") {
    const within = start >= this.before.length && start <= this.before.length + this.text.value.length;
    if (text || !within) this.part(text || this.whole(), line);
    this.text.focus();
    this.text.setSelectionRange(start - this.before.length, Math.max(start, end) - this.before.length);
    this.text.scrollTop = Math.max(0, (line - this.linesBefore - 6) * this.height());
  }

  key(e) {
    const bare = !e.ctrlKey && !e.altKey && !e.metaKey;
    if (e.key === "Tab" && !e.shiftKey && bare && !this.leaving) {
      e.preventDefault();
      this.indent();
    }
    if (e.key !== "Shift") this.leaving = e.key === "Escape";
  }

  indent() {
    const { value, selectionStart: from, selectionEnd: to } = this.text;
    if (!value.slice(from, to).includes("\n")) return this.insert("  ");
    const start = value.lastIndexOf("\n", from - 1) + 1;
    this.text.setSelectionRange(start, to);
    this.insert(value.slice(start, to).replace(/^(?=.)/gm, "  "));
    this.text.setSelectionRange(start, this.text.selectionEnd);
  }

  // follow indents a line that was just begun as the one before, and moves a bracket that
  // closes a block back.
  follow(e) {
    if (e.inputType !== "insertLineBreak" && e.inputType !== "insertText") return;
    const { value, selectionStart: at } = this.text, start = at ? value.lastIndexOf("\n", at - 1) + 1 : 0;
    const line = value.slice(start, at);
    if (e.inputType === "insertLineBreak" && start > 1) {
      const last = value.slice(value.lastIndexOf("\n", start - 2) + 1, start - 1);
      const indentation = /^[ \t]*/.exec(last)[0] + (/[{[(]\s*$/.test(last) ? "  " : "");
      if (indentation) this.insert(indentation);
    } else if (e.inputType === "insertText" && /^ {2,}[}\])]$/.test(line) && e.data === line.at(-1)) {
      this.text.setSelectionRange(at - 3, at);
      this.insert(e.data);
    }
  }

  // insert types a text, so that the browser can undo it.
  insert(text) {
    if (document.execCommand("insertText", false, text)) return;
    this.text.setRangeText(text, this.text.selectionStart, this.text.selectionEnd, "end");
    this.text.dispatchEvent(new InputEvent("input"));
  }
}

function newlines(text) {
  let n = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) n++;
  return n;
}

// offset is where a text goes on after some lines.
function offset(text, lines) {
  let at = 0;
  for (; lines > 0; lines--) {
    const end = text.indexOf("\n", at);
    if (end < 0) return text.length;
    at = end + 1;
  }
  return at;
}
