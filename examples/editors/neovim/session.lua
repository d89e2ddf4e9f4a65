-- A session with a policy, as somebody has it who uses seawall.lua: the findings appear, a
-- name is completed and renamed, the file is formatted. Run it with
--     nvim --headless --clean -u seawall.lua -l session.lua
-- It prints what it saw, and fails where that is not what it should be.

local policy = [[
host {
external = ["eth0"]
  unlisted = "deny"
}
set "office" { sources = ["192.0.2.0/24"] }
policy "web" {
  ports = [443]
  allow { sources = set.ofice }
}
]]

local dir = vim.fn.tempname()
vim.fn.mkdir(dir, "p")
local file = dir .. "/policy.hcl"
vim.fn.writefile(vim.split(policy, "\n", { trimempty = true }), file)

local function say(what, text) io.stdout:write(("%s: %s\n"):format(what, text)) end
local function must(good, text)
  if not good then
    error(text, 0)
  end
end
-- wait until something is there, and return it.
local function eventually(what, f)
  local got
  must(vim.wait(10000, function()
    got = f()
    return got ~= nil and got ~= false
  end, 20), what .. " did not come within ten seconds")
  return got
end

vim.cmd.edit(file)
vim.cmd.doautocmd("FileType")
local buf = vim.api.nvim_get_current_buf()
local client = eventually("the server", function()
  local c = vim.lsp.get_clients({ bufnr = buf, name = "seawall" })[1]
  return c and c.initialized and c
end)
say("server", client.server_info and client.server_info.name or client.name)

local function diagnostics(wanted)
  return eventually("a diagnostic with " .. wanted, function()
    for _, d in ipairs(vim.diagnostic.get(buf)) do
      if d.message:find(wanted, 1, true) or d.code == wanted then
        return d
      end
    end
  end)
end
local d = diagnostics("No such set")
say("diagnostic", ("line %d: %s"):format(d.lnum + 1, d.message:gsub("\n", " ")))
must(d.lnum == 7, "the diagnostic is on another line")

-- Complete set. in the place of the mistyped name.
local line = vim.api.nvim_buf_get_lines(buf, 7, 8, true)[1]
local from = line:find("ofice") - 1
vim.api.nvim_buf_set_text(buf, 7, from, 7, from + 5, { "" })
local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(buf, method, params, 10000)
  local answer = answers and answers[client.id]
  must(answer and not answer.err, method .. ": " .. vim.inspect(answer))
  return answer.result
end
vim.api.nvim_win_set_cursor(0, { 8, from })
local items = ask("textDocument/completion", vim.lsp.util.make_position_params(0, client.offset_encoding))
local labels = vim.tbl_map(function(i) return i.label end, items)
say("completion", table.concat(labels, " "))
must(vim.deep_equal(labels, { "office" }), "the completion is another")
vim.lsp.util.apply_text_edits({ items[1].textEdit }, buf, client.offset_encoding)
say("finding", diagnostics("SW008").message:gsub("\n.*", ""))

-- Who reaches the policy.
vim.lsp.codelens.refresh({ bufnr = buf })
local lens = eventually("a code lens", function() return vim.lsp.codelens.get(buf)[1] end)
say("lens", lens.command.title)
must(lens.command.title == "reachable by 256 addresses of 1 network over IPv4; everybody: no", "the lens says something else")

-- What the set is.
vim.api.nvim_win_set_cursor(0, { 8, from })
local hover = ask("textDocument/hover", vim.lsp.util.make_position_params(0, client.offset_encoding))
say("hover", hover.contents.value:gsub("\n+", " "))

-- Rename it from where it is used.
vim.lsp.buf.rename("headquarters")
local renamed = eventually("the rename", function()
  local text = table.concat(vim.api.nvim_buf_get_lines(buf, 0, -1, true), "\n")
  return text:find('set "headquarters"', 1, true) and text:find("set.headquarters", 1, true) and text
end)
must(not renamed:find("office", 1, true), "the old name is left")
say("rename", 'set "headquarters", set.headquarters')

-- Format.
vim.lsp.buf.format({ async = false, timeout_ms = 10000 })
local second = vim.api.nvim_buf_get_lines(buf, 1, 2, true)[1]
say("format", second)
must(second == '  external = ["eth0"]', "the file is not formatted")
vim.fn.delete(dir, "rf")
say("session", "done")
vim.cmd("qall!")
