// The grammar, as the engine of VS Code reads it, over lines with what each word must be.
"use strict";

const test = require("node:test");
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const root = path.join(__dirname, "..");

async function grammar() {
  const wasm = fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async (scope) =>
      scope === "source.seawall"
        ? textmate.parseRawGrammar(
            fs.readFileSync(path.join(root, "syntaxes/seawall.tmLanguage.json"), "utf8"),
            "seawall.tmLanguage.json",
          )
        : null,
  });
  return registry.loadGrammar("source.seawall");
}

// scopes returns the scopes of a word in a text, from the last line that has it.
function scopes(grammar, text, word) {
  let stack = textmate.INITIAL;
  let found = [];
  for (const line of text.split("\n")) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, stack);
    stack = ruleStack;
    const at = line.indexOf(word);
    if (at >= 0) {
      const first = at + word.search(/[A-Za-z0-9:]/);
      found = tokens.find((t) => t.startIndex <= first && first < t.endIndex).scopes;
    }
  }
  return found.join(" ");
}

const policy = `# seawall:ignore SW007 the honeypot is meant to be found
host {
  external = ["eth0"]
  unlisted = "deny"
}
set "office" {
  sources = ["192.0.2.0/24", "2001:db8::/32"]
}
policy "web" {
  ports       = [443, "\${var.port}/udp"]
  description = "every \\"body\\""
  allow { sources = concat([set.office], any) }
}
locals {
  text = <<TEXT
policy is a word here
TEXT
  after = true
}`;

test("every word has its scope", async () => {
  const g = await grammar();
  for (const [word, scope] of [
    ["seawall:ignore", "keyword.other.ignore"],
    ["SW007", "constant.other.code"],
    ["host {", "storage.type"],
    ["unlisted", "variable.other.property"],
    ["deny", "string.quoted"],
    ['"office"', "entity.name.section"],
    ["192.0.2.0/24", "constant.other.address"],
    ["2001:db8::/32", "constant.other.address"],
    ["443", "constant.numeric"],
    ["var.port", "support.variable"],
    ["allow {", "storage.type"],
    ["concat", "support.function"],
    ["office]", "variable.other"],
    ["any)", "constant.language.any"],
    ["policy is a word", "string.unquoted.heredoc"],
    ["true", "constant.language"],
  ]) {
    assert.match(scopes(g, policy, word), new RegExp(scope.replaceAll(".", "\\.")), word);
  }
});

test("every example ends outside of strings and comments", async () => {
  const g = await grammar();
  const examples = process.env.EXAMPLES ?? path.join(root, "../..");
  let files = 0;
  for (const name of fs.readdirSync(examples)) {
    const file = path.join(examples, name, "policy.hcl");
    if (!fs.existsSync(file)) continue;
    files++;
    const text = fs.readFileSync(file, "utf8") + "\nlast = true";
    assert.doesNotMatch(scopes(g, text, "last"), /string|comment/, file);
    for (const word of ["host {", 'policy "']) {
      if (text.includes("\n" + word)) assert.match(scopes(g, text, word), /storage\.type/, file + ": " + word);
    }
  }
  assert.ok(files > 5);
});
