// A policy in a link: JSON, deflated, in the alphabet of base64url. The first part names the
// form, so that a later one can be told apart.
const form = "p1.";
// What a link may hold: more than any policy that people pass on. What is larger freezes the
// page of whoever opens it.
const mostText = 2 << 20, mostLines = 200000;
const tooLarge = "it is larger than 2 MiB, or has more than 200,000 lines";

export class LinkError extends Error {}

// fragment is a state as the part of an address after its #.
export async function fragment(state) {
  if (!self.CompressionStream) throw new LinkError("this browser cannot make links");
  if (!fits(state)) throw new LinkError(tooLarge);
  const packed = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(state)), Infinity);
  let text = "";
  for (let at = 0; at < packed.length; at += 8192) text += String.fromCharCode(...packed.subarray(at, at + 8192));
  return form + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// stateOf is the state in a fragment; null where there is none at all.
export async function stateOf(text) {
  text = text.replace(/^#/, "");
  if (text === "") return null;
  if (!text.startsWith(form)) throw new LinkError("What follows the # of this link is not a policy of the playground.");
  if (!self.DecompressionStream) throw new LinkError("This browser is too old to open a policy in this link.");
  let state;
  try {
    state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await inflated(text.slice(form.length))));
  } catch (e) {
    throw e instanceof LinkError ? e : new LinkError("The policy in this link cannot be read: the link is damaged, or was cut off.");
  }
  if (!sound(state)) throw new LinkError("The policy in this link cannot be read: it is not one that the playground wrote.");
  if (!fits(state)) throw new LinkError(`The policy in this link is not opened: ${tooLarge}.`);
  return state;
}

function inflated(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error("alphabet");
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
  return through(new DecompressionStream("deflate-raw"), bytes, 8 * mostText);
}

// through is what a stream makes of bytes, up to a limit.
async function through(stream, bytes, limit) {
  const writer = stream.writable.getWriter();
  writer.write(bytes).catch(() => {}); // the reader fails as well
  writer.close().catch(() => {});
  const parts = [];
  let size = 0;
  for (const reader = stream.readable.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > limit) {
      reader.cancel().catch(() => {});
      throw new LinkError(`The policy in this link is not opened: ${tooLarge}.`);
    }
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

// fits reports whether a state, and what it is compared with, is not too large.
function fits(state) {
  return [state, state.before].every(p => {
    let length = 0, lines = 0;
    for (const text of p ? Object.values(p.files) : []) {
      length += text.length;
      for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
    }
    return length <= mostText && lines <= mostLines;
  });
}

const isText = v => v === undefined || typeof v === "string";

function soundPolicy(p) {
  return p && typeof p === "object" && p.files && typeof p.files === "object" && !Array.isArray(p.files) &&
    Object.keys(p.files).length > 0 && Object.values(p.files).every(t => typeof t === "string") && isText(p.varFile);
}

// sound reports whether a value is a state.
export function sound(s) {
  return soundPolicy(s) && (s.before === undefined || soundPolicy(s.before)) &&
    [s.format, s.layout, s.from, s.to, s.chain].every(isText);
}
