// The compiler as the page sees it: the latest question is answered, and no other. A question
// that takes long does not keep the next one waiting: its worker is ended.

// How long a worker may go on with a question after there is a newer one.
const patience = 400;
// When the page says that it is still working.
const slow = 600;

export class Compiler {
  // answered is called with answers, and said with what becomes of a question: "ready",
  // "slow", "stopped" and why, or "broken" and why where there will be no answers at all.
  constructor(answered, said) {
    this.answered = answered;
    this.said = said;
    this.last = 0;
    this.running = null;
    this.next = null;
    this.restarts = 0;
  }

  async load(url) {
    this.module = await WebAssembly.compileStreaming(await program(url));
    this.said("ready");
    this.start();
    if (this.next) this.run();
  }

  start() {
    this.started = false;
    this.worker = new Worker("worker.js");
    this.worker.onmessage = e => this.told(e.data);
    this.worker.onerror = e => { e.preventDefault(); this.told({ stopped: true, why: e.message }); };
    this.worker.postMessage({ module: this.module });
  }

  restart() {
    this.worker.terminate();
    this.running = null;
    this.restarts++;
    this.start();
  }

  ask(request) {
    this.next = { id: ++this.last, request: JSON.stringify(request) };
    if (!this.module || this.broken) return;
    if (!this.running) return this.run();
    clearTimeout(this.impatient);
    this.impatient = setTimeout(() => this.hurry(), Math.max(0, this.running.since + patience - performance.now()));
  }

  hurry() {
    if (!this.running || !this.next) return;
    this.restart();
    this.run();
  }

  run() {
    this.running = { ...this.next, since: performance.now() };
    this.next = null;
    clearTimeout(this.slow);
    this.slow = setTimeout(() => { if (this.running) this.said("slow"); }, slow);
    this.worker.postMessage({ id: this.running.id, request: this.running.request });
  }

  told(data) {
    if (data.started) {
      this.started = true;
      return;
    }
    if (data.stopped) {
      clearTimeout(this.slow);
      this.broken = !this.started;
      this.said(this.broken ? "broken" : "stopped", data.why);
      if (this.broken) return;
      this.restart();
    } else {
      if (!this.running || data.id !== this.running.id) return;
      this.running = null;
      clearTimeout(this.slow);
      if (!this.next) this.answered(data.answer);
    }
    if (this.next) this.run();
  }
}

// program fetches the compiler, and decompresses it where the server did not.
async function program(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error("the server answers " + response.status + " to " + url);
  const bytes = await response.blob();
  const start = new Uint8Array(await bytes.slice(0, 2).arrayBuffer());
  const packed = start[0] === 0x1f && start[1] === 0x8b;
  const stream = packed ? bytes.stream().pipeThrough(new DecompressionStream("gzip")) : bytes.stream();
  return new Response(stream, { headers: { "Content-Type": "application/wasm" } });
}
