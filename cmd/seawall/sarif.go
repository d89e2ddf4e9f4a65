package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/lint"
	"github.com/seawall/seawall/compiler/meaning"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/compiler/sarif"
	"github.com/seawall/seawall/schema"
	"github.com/spf13/cobra"
)

// The rules of SARIF beside lint's codes.
const (
	ruleMistake   = "mistake"
	ruleTest      = "test-failed"
	ruleDiffers   = "differs"
	ruleUndecided = "undecided"
	ruleStricter  = "stricter"
)

const documentation = lint.Documentation

// sarifRules are all rules: a code of lint's is one, with its page.
func sarifRules() []sarif.Rule {
	rules := []sarif.Rule{
		{ID: ruleMistake, Title: "A mistake in a policy", Level: sarif.Error, URI: documentation + "language.md",
			Help: "A policy with a mistake is not compiled. The message says what is wrong, and what to write."},
		{ID: ruleTest, Title: "A test of a policy that fails", Level: sarif.Error, URI: documentation + "commands/seawall-test.md",
			Help: "The policy decides otherwise than its test block says. The message has the sources for which it does, and the line that decides there."},
		{ID: ruleDiffers, Title: "Rules that do not implement the policy", Level: sarif.Error, URI: documentation + "commands/seawall-verify.md",
			Help: "The rules file treats these packets otherwise than the policy says. seawall explain shows the way of one of them through both."},
		{ID: ruleUndecided, Title: "Rules that cannot be evaluated", Level: sarif.Error, URI: documentation + "commands/seawall-verify.md",
			Help: "Whether the rules file implements the policy cannot be decided, for a rule depends on what is not in the packet or not known."},
		{ID: ruleStricter, Title: "Rules that deny more than the policy", Level: sarif.Note, URI: documentation + "commands/seawall-verify.md",
			Help: "The rules file denies packets that the policy allows, and opens nothing. --allow-stricter allows it, so that bans may come and go."},
	}
	for _, code := range lint.Codes() {
		page, _ := lint.Page(code)
		title, help, _ := strings.Cut(page, "\n")
		_, title, _ = strings.Cut(title, ": ")
		level := sarif.Warning
		if strings.HasPrefix(strings.TrimSpace(help), "A hint:") {
			level = sarif.Note
		}
		rules = append(rules, sarif.Rule{ID: code, Title: title, Level: level, Help: strings.TrimSpace(help), URI: lint.PageURL(code)})
	}
	return rules
}

func printSARIF(c *cobra.Command, results []sarif.Result) error {
	text, err := sarif.Write(versionText(), sarifRules(), results)
	if err != nil {
		return err
	}
	_, err = formatted(c, "sarif").Write(text)
	return err
}

// textOrSARIF checks the flag --format of the commands that have these two.
func textOrSARIF(format string) error {
	if format != "text" && format != "sarif" {
		return fmt.Errorf("--format is text or sarif, not %q", format)
	}
	return nil
}

// ofFindings are mistakes and lint's findings as results.
func ofFindings(list []finding, files map[string]*hcl.File) []sarif.Result {
	var results []sarif.Result
	for _, f := range list {
		r := sarif.Result{Rule: f.Code, Level: sarif.Level(f.severity.sarif), Message: f.Summary + "."}
		if f.Code == "" {
			r.Rule = ruleMistake
		}
		if f.Detail != "" {
			r.Message += " " + shortened(f.Detail, maxDetail)
		}
		if f.File != "" {
			r.At = placeOf(files, f.File, f.Line, f.Column)
		}
		results = append(results, r)
	}
	return results
}

// placeOf is a place with the text of its line.
func placeOf(files map[string]*hcl.File, name string, line, column int) *sarif.Place {
	p := &sarif.Place{File: name, Line: line, Column: column}
	if f := files[name]; f != nil {
		p.Text = lineOf(f.Bytes, line)
	}
	return p
}

// lineOf is a line of a file, from 1.
func lineOf(src []byte, n int) string {
	for ; n > 1; n-- {
		_, rest, ok := bytes.Cut(src, []byte("\n"))
		if !ok {
			return ""
		}
		src = rest
	}
	line, _, _ := bytes.Cut(src, []byte("\n"))
	return string(line)
}

// ofTests are the tests that fail as results.
func ofTests(list []*prove.TestResult, files map[string]*hcl.File) []sarif.Result {
	var results []sarif.Result
	for _, t := range list {
		if len(t.Failures) == 0 {
			continue
		}
		at := t.Test.Range
		r := sarif.Result{Rule: ruleTest, Level: sarif.Error, Message: fmt.Sprintf("The test %q fails.", t.Test.Name),
			At: placeOf(files, at.Filename, at.Start.Line, at.Start.Column)}
		for _, f := range t.Failures {
			said := fmt.Sprintf("%s, decided by %s", f, f.Rule)
			r.Message += " " + said + "."
			p := placeOf(files, f.At.Filename, f.At.Start.Line, f.At.Start.Column)
			p.Message = said
			r.Related = append(r.Related, *p)
		}
		results = append(results, r)
	}
	return results
}

// verifySARIF is verify with SARIF as its answer.
func verifySARIF(c *cobra.Command, loaded *schema.Loaded, files []string, flags *rulesFlags, allow bool) error {
	differs := false
	var results []sarif.Result
	for _, name := range files {
		list, err := flags.read(c, name)
		if err != nil {
			return err
		}
		for _, f := range list {
			result, err := compiler.Verify(c.Context(), loaded.Document, f, prove.Limits{})
			if hard, ok := errors.AsType[*prove.HardError](err); ok {
				differs = true
				results = append(results, undecided(f, fmt.Sprintf("It is undecided whether %s implements the policy: %v.", f.Name, hard)))
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			var stricter []*prove.Difference
			if allow {
				stricter, result.Differences = result.Split()
			}
			differs = differs || !result.Equal()
			results = append(results, ofVerified(loaded, f, result.Result, result.Unknown)...)
			results = append(results, ofStricter(f, stricter)...)
		}
	}
	if err := printSARIF(c, results); err != nil || !differs {
		return err
	}
	return exitCode(exitDiffers)
}

// mostResults bounds the differences of one file: a viewer shows no more either.
const mostResults = 1000

// ofVerified are the differences of a policy and a file of rules as results.
func ofVerified(loaded *schema.Loaded, f *compiler.Rules, result *prove.Result, unknown []string) []sarif.Result {
	var results []sarif.Result
	for i, d := range result.Differences {
		if i == mostResults {
			results = append(results, sarif.Result{Rule: ruleDiffers, Level: sarif.Error,
				Message: fmt.Sprintf("%s has %s.", f.Name, count(len(result.Differences)-i, "more difference", "more differences"))})
			break
		}
		policy, file := meaning.Explain(loaded.Document, d.Example), dialect.Trace(f.For(loaded.Document), d.Example)
		r := sarif.Result{Rule: ruleDiffers, Level: sarif.Error,
			Message: fmt.Sprintf("%s: the policy says %s (%s), %s says %s (%s). For example %s.", d, d.Policy, policy.Rule, f.Name, d.File, lastStep(file), d.Example),
			At:      placeOf(loaded.Files, policy.At.Filename, policy.At.Start.Line, policy.At.Start.Column)}
		if d.Undecided() {
			r.Rule = ruleUndecided
		}
		if n := len(file.Steps); n > 0 {
			r.Related = []sarif.Place{{File: f.Name, Line: file.Steps[n-1].Line, Message: "the rule that decides"}}
		}
		results = append(results, r)
	}
	for _, text := range unknown {
		results = append(results, undecided(f, text))
	}
	return results
}

// undecided is the result for rules that cannot be compared with the policy.
func undecided(f *compiler.Rules, why string) sarif.Result {
	return sarif.Result{Rule: ruleUndecided, Level: sarif.Error, Message: why, At: &sarif.Place{File: f.Name}}
}
