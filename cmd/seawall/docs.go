package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// docsCommand writes what is made from the commands, the language and the
// findings themselves, and so cannot be out of date.
func docsCommand() *cobra.Command {
	format := ""
	c := &cobra.Command{
		Use:    "docs DIR",
		Hidden: true,
		Short:  "Write the man pages, or the documentation as Markdown",
		Long: `Write the man pages of all commands, or the documentation as Markdown: the
commands, the language and the findings.`,
		Example: "  seawall docs man --format man",
		Args:    between(1, 1, "a DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			pages := map[string]func(*cobra.Command) (map[string][]byte, error){"man": manPages, "markdown": markdownPages}[format]
			if pages == nil {
				return fmt.Errorf("--format is man or markdown, not %q", format)
			}
			files, err := pages(c.Root())
			if err != nil {
				return err
			}
			for name, text := range files {
				path := filepath.Join(args[0], name)
				err := os.MkdirAll(filepath.Dir(path), 0o755)
				if err == nil {
					err = emit.Replace(path, text, 0o644)
				}
				if err != nil {
					return cannotWrite(args[0], err, takesDocs)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "markdown", "man or markdown")
	return c
}

// documented are the commands that have a page.
func documented(root *cobra.Command) []*cobra.Command {
	root.InitDefaultCompletionCmd()
	var list []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.DisableAutoGenTag = true
		list = append(list, c)
		for _, inner := range c.Commands() {
			if inner.IsAvailableCommand() && inner.Name() != "help" {
				walk(inner)
			}
		}
	}
	walk(root)
	return list
}

// manPages are the man pages of section 1. Their date is SOURCE_DATE_EPOCH's,
// as cobra has it, so that a package is the same at every build.
func manPages(root *cobra.Command) (map[string][]byte, error) {
	files := map[string][]byte{}
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range documented(root) {
		header := &doc.GenManHeader{Section: "1", Source: "Seawall", Manual: "Seawall"}
		if os.Getenv("SOURCE_DATE_EPOCH") == "" {
			header.Date = &date
		}
		var b bytes.Buffer
		if err := doc.GenMan(c, header, &b); err != nil {
			return nil, err
		}
		files[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = b.Bytes()
	}
	return files, nil
}

// markdownPages are the documentation: a page a command, the language, a page a
// finding, and an index.
func markdownPages(root *cobra.Command) (map[string][]byte, error) {
	files := map[string][]byte{"language.md": []byte(languagePage())}
	var index bytes.Buffer
	index.WriteString("# Seawall's documentation\n\nMade by `seawall docs` from the program itself: `go test ./cmd/seawall -update`.\n\n- [The language](language.md)\n\n## Commands\n\n")
	for _, c := range documented(root) {
		var b bytes.Buffer
		if err := doc.GenMarkdownCustom(c, &b, func(name string) string { return strings.ReplaceAll(name, "_", "-") }); err != nil {
			return nil, err
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".md"
		files["commands/"+name] = b.Bytes()
		fmt.Fprintf(&index, "- [%s](commands/%s): %s\n", c.CommandPath(), name, c.Short)
	}
	index.WriteString("\n## Findings\n\n")
	for _, code := range lint.Codes() {
		page, _ := lint.Page(code)
		files["findings/"+code+".md"] = []byte(page)
		title, _, _ := strings.Cut(strings.TrimPrefix(page, "# "), "\n")
		fmt.Fprintf(&index, "- [%s](findings/%s.md)\n", title, code)
	}
	index.WriteString("- [What doctor finds](doctor.md)\n")
	files["doctor.md"] = []byte(doctorPage())
	files["README.md"] = index.Bytes()
	return files, nil
}

// doctorPage is the findings of doctor, from the table that doctor has them in.
func doctorPage() string {
	var b strings.Builder
	b.WriteString("# What doctor finds\n\n`seawall doctor` says of each finding where it is, what traffic it concerns, and the commands that fix it.\n")
	for _, x := range doctor.Codes {
		fmt.Fprintf(&b, "\n## %s: %s\n\n%s\n", x.Code, x.Title, x.Why)
	}
	return b.String()
}

// languagePage is the reference of the language, from the table that the reader
// itself goes by.
func languagePage() string {
	var b strings.Builder
	b.WriteString("# The language\n\nA policy is HCL: a file, or a folder whose `*.hcl` and `*.hcl.json` files are merged. Sources are an address, a CIDR, a\nrange `a-b`, a `set.NAME`, or nested lists of these; `any` is everybody, of both families.\n")
	for _, block := range schema.Language {
		label := ""
		if block.Labelled {
			label = " \"NAME\""
		}
		fmt.Fprintf(&b, "\n## %s%s\n\n%s %s", block.Name, label, block.Doc, capital(block.Count))
		if block.In != "" {
			fmt.Fprintf(&b, ", in %s", block.In)
		}
		b.WriteString(".")
		if len(block.Blocks) > 0 {
			fmt.Fprintf(&b, " Holds %s blocks.", strings.Join(block.Blocks, " and "))
			if block.Blocks[0] == "allow" {
				b.WriteString(" `dynamic` blocks make them too.")
			}
		}
		b.WriteString("\n")
		if len(block.Attributes) == 0 {
			continue
		}
		b.WriteString("\n| attribute | value | default | |\n| --- | --- | --- | --- |\n")
		for _, a := range block.Attributes {
			name, otherwise := a.Name, a.Default
			if a.Required {
				name, otherwise = "**"+name+"**", "required"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, a.Type, otherwise, a.Doc)
		}
	}
	b.WriteString("\n## Functions\n\nAs in Terraform. None reads a file, a clock or a network.\n\n| function | |\n| --- | --- |\n")
	for _, f := range schema.Functions() {
		text, _, _ := strings.Cut(f.Doc, "\n")
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Signature, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text))
	}
	return b.String()
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
