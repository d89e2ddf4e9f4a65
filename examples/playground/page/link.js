// A policy in a link: JSON, deflated, in the alphabet of base64url. The first part names the
// form, so that a later one can be told apart.
const form = "p1.";
// What a link may hold once it is inflated: more than any policy that people pass on.
const most = 4 << 20;

export class LinkError extends Error {}

// fragment is a state as the part of an address after its #.
export async function fragment(state) {
  const packed = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(state)), Infinity);
  let text = "";
  for (const byte of packed) text += String.fromCharCode(byte);
  return form + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// stateOf is the state in a fragment; null where there is none at all.
export async function stateOf(text) {
  text = text.replace(/^#/, "");
  if (text === "") return null;
  if (!text.startsWith(form)) throw new LinkError("What follows the # of this link is not a policy of the playground.");
  let state;
  try {
    state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await inflated(text.slice(form.length))));
  } catch (e) {
    throw e instanceof LinkError ? e : new LinkError("The policy in this link cannot be read: the link is damaged, or was cut off.");
  }
  if (!sound(state)) throw new LinkError("The policy in this link cannot be read: it is not one that the playground wrote.");
  return state;
}

function inflated(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error("alphabet");
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
  return through(new DecompressionStream("deflate-raw"), bytes, most);
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
      throw new LinkError("The policy in this link is too large.");
    }
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

const isText = v => v === undefined || typeof v === "string";

function soundPolicy(p) {
  return p && typeof p === "object" && p.files && typeof p.files === "object" && !Array.isArray(p.files) &&
    Object.keys(p.files).length > 0 && Object.values(p.files).every(t => typeof t === "string") && isText(p.varFile);
}

function sound(s) {
  return soundPolicy(s) && (s.before === undefined || soundPolicy(s.before)) &&
    [s.format, s.layout, s.from, s.to, s.chain].every(isText);
}
