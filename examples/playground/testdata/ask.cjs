// Asks the compiler of a built playground, outside of a browser: a list of requests comes in,
// and the list of answers goes out.
//   node ask.cjs DIR < requests.json
const fs = require("fs"), path = require("path"), zlib = require("zlib");

const dir = process.argv[2];
require(path.resolve(dir, "wasm_exec.js"));
const program = zlib.gunzipSync(fs.readFileSync(path.join(dir, "seawall.wasm.gz")));
const requests = JSON.parse(fs.readFileSync(0, "utf8"));
const go = new Go();
WebAssembly.instantiate(program, go.importObject).then(({ instance }) => {
  go.run(instance);
  fs.writeSync(1, JSON.stringify(requests.map(r => globalThis.seawall(JSON.stringify(r)))));
  process.exit(0);
});
