// The compiler in a thread of its own: typing never waits for it.
importScripts("wasm_exec.js");

let started;

async function start(module) {
  const go = new Go();
  const instance = await WebAssembly.instantiate(module, go.importObject);
  go.run(instance).finally(() => postMessage({ stopped: true }));
}

onmessage = async ({ data }) => {
  if (data.module) {
    started = start(data.module);
    return;
  }
  try {
    await started;
    postMessage({ id: data.id, answer: self.seawall(data.request) });
  } catch (e) {
    postMessage({ stopped: true, why: String(e) });
  }
};
