// The compiler in a thread of its own: typing never waits for it.
importScripts("wasm_exec.js");

let started;

async function start(module) {
  const go = new Go();
  const instance = await WebAssembly.instantiate(module, go.importObject);
  go.run(instance).finally(() => postMessage({ stopped: true }));
  postMessage({ started: true });
}

onmessage = async ({ data }) => {
  try {
    started ||= start(data.module);
    await started;
    if (data.request) postMessage({ id: data.id, answer: JSON.parse(self.seawall(data.request)) });
  } catch (e) {
    postMessage({ stopped: true, why: String(e) });
  }
};
