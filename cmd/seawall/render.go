package main

import (
	"fmt"
	"io"

	"github.com/seawall/seawall/compiler/progress"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/render"
	"github.com/spf13/cobra"
)

func renderCommand() *cobra.Command {
	p := &policyFlags{}
	format, frontMatter := "", false
	c := &cobra.Command{
		Use:   "render [PATH]",
		Short: "Write the policy for people: a page of who may reach which port",
		Long: `Write the policy for people: what the host lets in, who may reach which port over
IPv4 and over IPv6, every policy with its rules, and the way of a packet through
the host's chains. An HTML page is one file that loads nothing.

--front-matter writes the title of a Markdown page for the generator of a
documentation site; the anchors of policies and sets stay the same while their names
do. seawall docs site writes a whole site.

Who gets in is worked out by the proof, not read off the blocks: the guard and
nested policies are in it.`,
		Example: `  seawall render policies > POLICY.md
  seawall render --format html > policy.html
  seawall render --front-matter > docs/policy.md`,
		Args: onePath,
		RunE: func(c *cobra.Command, args []string) error {
			write := map[string]func(*render.Page) (string, error){
				"markdown": func(p *render.Page) (string, error) {
					if frontMatter {
						return p.MarkdownForSite(), nil
					}
					return p.Markdown(), nil
				},
				"html": (*render.Page).HTML,
				"svg":  func(p *render.Page) (string, error) { return p.SVG(), nil },
				"json": func(p *render.Page) (string, error) {
					text, err := p.JSON()
					return string(text), err
				},
			}[format]
			if write == nil {
				return fmt.Errorf("--format is markdown, html, svg or json, not %q", format)
			}
			if frontMatter && format != "markdown" {
				return fmt.Errorf("--front-matter is for --format markdown, not %s", format)
			}
			page, err := p.page(c, args)
			if err != nil {
				return err
			}
			text, err := write(page)
			if err != nil {
				return err
			}
			_, err = io.WriteString(formatted(c, format), text)
			return err
		},
	}
	p.register(c)
	c.Flags().StringVar(&format, "format", "markdown", "markdown, html, svg or json")
	c.Flags().BoolVar(&frontMatter, "front-matter", false, "begin with title and description as YAML, for a documentation site")
	choices(c, "format", "markdown", "html", "svg", "json")
	return c
}

// page loads the policy of a command's arguments, as it is shown.
func (p *policyFlags) page(c *cobra.Command, args []string) (*render.Page, error) {
	loaded, err := p.load(c, args)
	if err != nil {
		return nil, err
	}
	progress.Report(c.Context(), "rendering", count(len(loaded.Document.Policies), "policy", "policies"))
	return render.Make(c.Context(), loaded.Document, loaded.Inputs, prove.Limits{})
}
