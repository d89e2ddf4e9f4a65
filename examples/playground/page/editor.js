// A text with numbered lines. Tab indents; Escape lets the next Tab leave, for those who have
// no mouse.
export class Editor {
  constructor(text, numbers, changed) {
    this.text = text;
    this.numbers = numbers;
    this.marks = new Map();
    this.leaving = false;
    text.addEventListener("input", e => { this.follow(e); this.number(); changed(text.value); });
    text.addEventListener("scroll", () => { numbers.scrollTop = text.scrollTop; });
    text.addEventListener("keydown", e => this.key(e));
    text.addEventListener("blur", () => { this.leaving = false; });
  }

  show(text, name) {
    this.text.value = text;
    this.text.setAttribute("aria-label", name);
    this.text.scrollTop = this.text.scrollLeft = 0;
    this.text.setSelectionRange(0, 0);
    this.number();
  }

  // mark marks the numbers of lines: a Map of severities by line.
  mark(marks) {
    this.marks = marks;
    this.number();
  }

  number() {
    const lines = this.text.value.split("\n").length;
    const parts = document.createDocumentFragment();
    let plain = "";
    for (let n = 1; n <= lines; n++) {
      if (this.marks.has(n)) {
        const mark = document.createElement("b");
        mark.textContent = n;
        mark.className = this.marks.get(n);
        parts.append(plain, mark);
        plain = "\n";
      } else {
        plain += n + "\n";
      }
    }
    parts.append(plain);
    this.numbers.replaceChildren(parts);
    this.numbers.scrollTop = this.text.scrollTop;
  }

  // go selects a part of the text, and scrolls to its line.
  go(start, end, line) {
    const height = parseFloat(getComputedStyle(this.text).lineHeight);
    this.text.focus();
    this.text.setSelectionRange(start, Math.max(start, end));
    this.text.scrollTop = Math.max(0, (line - 6) * height);
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
    const at = this.text.selectionStart, before = this.text.value.slice(0, at).split("\n");
    const line = before.pop();
    if (e.inputType === "insertLineBreak") {
      const last = before.pop() || "";
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
