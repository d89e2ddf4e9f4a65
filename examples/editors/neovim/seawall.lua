-- Neovim 0.8 or later: put this into ~/.config/nvim/after/plugin/seawall.lua, or
-- `require` it from init.lua. It starts `seawall lsp` for HCL files; the server says
-- nothing about those of other programs.
--
-- Neovim's own keys then work: K for what stands under the cursor, CTRL-] for the
-- definition, CTRL-X CTRL-O to complete, gq to format, and [d and ]d for the findings
-- (`:help lsp-defaults`).

local settings = {
  -- Variable files with which policies are read, relative to the root folder (that with .git).
  varFiles = {},
  vars = {},
}

-- Neovim calls *.hcl "hcl" since 0.9.
vim.filetype.add({ extension = { hcl = "hcl" }, pattern = { [".*%.hcl%.json"] = "json" } })

local group = vim.api.nvim_create_augroup("seawall", {})

vim.api.nvim_create_autocmd("FileType", {
  group = group,
  pattern = { "hcl", "terraform", "json" },
  callback = function(args)
    local name = vim.api.nvim_buf_get_name(args.buf)
    if not (name:match("%.hcl$") or name:match("%.hcl%.json$")) then
      return
    end
    local found = vim.fs.find(".git", { upward = true, path = vim.fs.dirname(name) })
    vim.lsp.start({
      name = "seawall",
      cmd = { "seawall", "lsp" },
      root_dir = vim.fs.dirname(found[1] or name),
      init_options = settings,
    })
  end,
})

-- Who reaches each policy, over the policy.
vim.api.nvim_create_autocmd({ "BufEnter", "InsertLeave", "BufWritePost" }, {
  group = group,
  pattern = { "*.hcl", "*.hcl.json" },
  callback = function(args)
    local get = vim.lsp.get_clients or vim.lsp.get_active_clients
    if #get({ bufnr = args.buf, name = "seawall" }) > 0 then
      vim.lsp.codelens.refresh({ bufnr = args.buf })
    end
  end,
})
