// The client: it starts `seawall lsp` and passes the settings on. All else is the server's.
"use strict";

const { workspace, commands, window } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

// Policies are HCL, and HCL is many programs' files: the server says nothing about those of
// others. A policy in JSON ends in .hcl.json.
const documentSelector = [
  { scheme: "file", language: "seawall" },
  { scheme: "file", pattern: "**/*.hcl" },
  { scheme: "file", pattern: "**/*.hcl.json" },
];

let client;

function settings() {
  const all = workspace.getConfiguration("seawall");
  return { varFiles: all.get("varFiles"), vars: all.get("vars") };
}

async function start() {
  const command = workspace.getConfiguration("seawall").get("path");
  client = new LanguageClient(
    "seawall",
    "Seawall",
    { command, args: ["lsp"] },
    { documentSelector, initializationOptions: settings() },
  );
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    window.showErrorMessage(
      `Cannot start ${command}: ${error.message}. Install seawall, or set seawall.path.`,
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running) {
    await running.stop();
  }
}

async function activate(context) {
  context.subscriptions.push(
    commands.registerCommand("seawall.restart", async () => {
      await stop();
      await start();
    }),
    workspace.onDidChangeConfiguration(async (event) => {
      if (event.affectsConfiguration("seawall.path")) {
        await stop();
        await start();
      } else if (event.affectsConfiguration("seawall") && client) {
        await client.sendNotification("workspace/didChangeConfiguration", {
          settings: { seawall: settings() },
        });
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
