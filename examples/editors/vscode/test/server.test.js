// The server, asked by the protocol library of VS Code. The extension is a dozen lines
// around it. SEAWALL names the program, or it is looked up in PATH.
"use strict";

const test = require("node:test");
const assert = require("node:assert");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const rpc = require("vscode-languageserver-protocol/node");

const manifest = require("../package.json");

async function start(folder, options = {}) {
  const server = spawn(process.env.SEAWALL ?? "seawall", ["lsp"], { stdio: ["pipe", "pipe", "inherit"] });
  const connection = rpc.createProtocolConnection(
    new rpc.StreamMessageReader(server.stdout),
    new rpc.StreamMessageWriter(server.stdin),
  );
  const published = new Map();
  let changed = () => {};
  connection.onNotification(rpc.PublishDiagnosticsNotification.type, (p) => {
    published.set(p.uri, p);
    changed();
  });
  connection.onRequest(rpc.RegistrationRequest.type, () => {});
  connection.listen();
  const { capabilities } = await connection.sendRequest(rpc.InitializeRequest.type, {
    processId: process.pid,
    rootUri: pathToFileURL(folder).href,
    workspaceFolders: [{ uri: pathToFileURL(folder).href, name: "test" }],
    capabilities: { workspace: { didChangeWatchedFiles: { dynamicRegistration: true } } },
    initializationOptions: options,
  });
  await connection.sendNotification(rpc.InitializedNotification.type, {});
  return {
    connection,
    capabilities,
    async diagnostics(uri, version) {
      while (published.get(uri)?.version !== version) await new Promise((resolve) => (changed = resolve));
      await new Promise((resolve) => setTimeout(resolve, 300)); // findings may follow mistakes
      return published.get(uri).diagnostics;
    },
    async stop() {
      const exited = new Promise((resolve) => server.on("exit", resolve));
      await connection.sendRequest(rpc.ShutdownRequest.type);
      await connection.sendNotification(rpc.ExitNotification.type);
      return exited;
    },
  };
}

test("a session", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "seawall-"));
  fs.writeFileSync(path.join(folder, "web.vars.hcl"), "port = 8080\n");
  const text = `host {
  external = ["eth0"]
  unlisted = "deny"
}
variable "port" {}
set "office" { sources = ["192.0.2.0/24"] }
policy "web" {
  ports = [var.port]
  allow { sources = set.ofice }
}
`;
  const uri = pathToFileURL(path.join(folder, "policy.hcl")).href;
  const s = await start(folder, { varFiles: ["web.vars.hcl"] });
  for (const able of ["completionProvider", "hoverProvider", "renameProvider", "codeActionProvider", "codeLensProvider"]) {
    assert.ok(s.capabilities[able], able);
  }
  const document = { uri };
  await s.connection.sendNotification(rpc.DidOpenTextDocumentNotification.type, {
    textDocument: { uri, languageId: "seawall", version: 1, text },
  });
  const mistakes = await s.diagnostics(uri, 1);
  assert.deepStrictEqual(mistakes.map((d) => [d.message.split("\n")[0], d.range.start.line]), [["No such set.", 8]]);

  const actions = await s.connection.sendRequest(rpc.CodeActionRequest.type, {
    textDocument: document, range: mistakes[0].range, context: { diagnostics: mistakes },
  });
  assert.strictEqual(actions[0].title, 'Replace "ofice" with "office"');
  const [edit] = actions[0].edit.changes[uri];
  await s.connection.sendNotification(rpc.DidChangeTextDocumentNotification.type, {
    textDocument: { uri, version: 2 }, contentChanges: [{ range: edit.range, text: edit.newText }],
  });
  const hints = await s.diagnostics(uri, 2);
  assert.deepStrictEqual(hints.map((d) => d.code), ["SW008"]);
  assert.match(hints[0].codeDescription.href, /SW008\.md$/);

  const at = { textDocument: document, position: { line: 8, character: 24 } };
  const hover = await s.connection.sendRequest(rpc.HoverRequest.type, at);
  assert.match(hover.contents.value, /256 addresses of 1 network/);
  const renamed = await s.connection.sendRequest(rpc.RenameRequest.type, { ...at, newName: "headquarters" });
  assert.strictEqual(renamed.changes[uri].length, 2);
  await assert.rejects(s.connection.sendRequest(rpc.RenameRequest.type, { ...at, newName: "no name" }), /not a valid name/);
  const lenses = await s.connection.sendRequest(rpc.CodeLensRequest.type, { textDocument: document });
  assert.deepStrictEqual(lenses.map((l) => l.command.title), ["reachable by 256 addresses of 1 network over IPv4; everybody: no"]);
  const items = await s.connection.sendRequest(rpc.CompletionRequest.type, { textDocument: document, position: { line: 8, character: 24 } });
  assert.deepStrictEqual(items.map((i) => i.label), ["office"]);
  assert.strictEqual(await s.stop(), 0);
});

test("the manifest names what is there", () => {
  const root = path.join(__dirname, "..");
  for (const { path: file } of manifest.contributes.grammars) assert.ok(fs.existsSync(path.join(root, file)), file);
  assert.ok(fs.existsSync(path.join(root, manifest.contributes.languages[0].configuration)));
  const source = fs.readFileSync(path.join(root, "extension.js"), "utf8");
  for (const name of Object.keys(manifest.contributes.configuration.properties)) {
    assert.ok(source.includes('"' + name.split(".")[1] + '"'), name + " is not read");
  }
});
