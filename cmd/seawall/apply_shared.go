package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// With docker_user = "shared", apply proves two things: that Seawall's rules implement the
// policy, without those that others have in DOCKER-USER; and that with them nothing more
// gets through.

// openedError is the error for rules of others that let through what a policy does not.
type openedError struct{ list []*prove.Difference }

func (e *openedError) Error() string {
	text := "other rules in DOCKER-USER let more through than the policy:\n"
	for i, d := range e.list {
		if i == mostChanges {
			text += fmt.Sprintf("  and %d more\n", len(e.list)-i)
			break
		}
		text += fmt.Sprintf("  %s: the policy says %s, this rule %s\n    %s\n", d, d.Policy, d.File, ruleOf(d))
	}
	return text + "Delete them with iptables -D or ip6tables -D, or say the same in the policy"
}

// ruleOf is the rule that makes a difference. Of those that cannot be evaluated it is the
// first that can make this one: only a drop denies more, and only something else opens.
func ruleOf(d *prove.Difference) string {
	s := d.Way.Decider()
	if d.Undecided() {
		s = d.Way.Unsure()
		i := slices.IndexFunc(d.Way.Steps, func(s dialect.Step) bool { return s.Unsure != "" && decides(s, d.Stricter()) })
		if i >= 0 {
			s = &d.Way.Steps[i]
		}
	}
	if s == nil {
		return d.Way.Ended
	}
	return s.Rule
}

// goesOn are targets that decide nothing.
var goesOn = []string{"LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "SET", "MARK", "CONNMARK", "CLASSIFY", "TEE", "TCPMSS", "DSCP"}

// decides reports whether a rule's target denies packets, or does something else with them
// that decides.
func decides(s dialect.Step, denies bool) bool {
	at := strings.LastIndex(s.Rule, " -j ")
	if at < 0 {
		return false
	}
	target, _, _ := strings.Cut(s.Rule[at+len(" -j "):], " ")
	return (target == "DROP" || target == "REJECT") == denies && !slices.Contains(goesOn, target)
}

// beside proves that with the rules of others the kernel will let nothing through that the
// policy does not. What they deny is listed.
func (a *applying) beside() (stricter []*prove.Difference, err error) {
	rules, err := a.sharing.Expected(a.fresh)
	if err != nil {
		return nil, err
	}
	opened := &openedError{}
	for _, family := range packet.Families {
		result, err := prove.Compare(a.c.Context(), a.doc, rules[family], family, prove.Limits{})
		if err != nil {
			return nil, err
		}
		closed, others := result.Split()
		stricter, opened.list = append(stricter, closed...), append(opened.list, others...)
	}
	if opened.list != nil {
		return nil, fmt.Errorf("nothing was changed: %w", opened)
	}
	return stricter, nil
}

// opensNow reports whether the current rules as a whole let more through than the policy,
// although Seawall's own are right: where the jump is out of reach.
func (a *applying) opensNow() (bool, error) {
	list, err := liveDifferences(a.c.Context(), a.by, a.doc)
	for _, d := range list {
		if !d.Stricter() {
			return true, err
		}
	}
	return false, err
}

// sharedHeld says how the kernel's rules fall short of a policy, "" when they do not.
func (a *applying) sharedHeld(ctx context.Context) (string, error) {
	own, err := a.sharing.Own()
	if err != nil {
		return "", err
	}
	list, err := differences(ctx, own, a.doc)
	if err != nil || len(list) > 0 {
		return worstOf(list), err
	}
	list, err = liveDifferences(ctx, a.by, a.doc)
	list = slices.DeleteFunc(list, func(d liveDifference) bool { return d.Stricter() })
	if err != nil || len(list) == 0 {
		return "", err
	}
	return worstOf(list) + ", because of another rule in DOCKER-USER: " + ruleOf(list[0].Difference), nil
}

// sharedNotes say what becomes of the rules that DOCKER-USER has already.
func (a *applying) sharedNotes() (string, error) {
	removed, alike, err := a.sharing.Earlier()
	if err != nil {
		return "", err
	}
	text := ""
	if len(removed) > 0 {
		text += "Rules of an earlier policy in DOCKER-USER, which this removes:\n" + listed(removed)
	}
	if len(alike) > 0 {
		text += "Rules in DOCKER-USER that look like an earlier policy's and are not recorded as such stay. If they are, --force removes them:\n" + listed(alike)
	}
	if len(a.stricter) > 0 {
		text += "Other rules in DOCKER-USER stay, and are stricter than the policy: " + strictest(a.stricter) + ".\n"
	}
	return text, nil
}

// strictest is briefly, with rules that have no lines yet.
func strictest(list []*prove.Difference) string {
	return eachBriefly(list, func(d *prove.Difference) string {
		return fmt.Sprintf("%v, %s: %s (%s)", d.Family, who(d), d.File, ruleOf(d))
	})
}

// sharedBackend is the back end for a DOCKER-USER that others use as well.
func (a *applying) sharedBackend() {
	if a.format != iptablesBackend || !a.doc.Host.Shared {
		return
	}
	a.sharing = a.host.SharedIPTables(a.run, a.force)
	a.by = a.sharing
}

// current is what a policy is compared with before it is loaded: Seawall's own rules.
func (a *applying) current() (map[packet.Family]dialect.Rules, error) {
	if a.sharing != nil {
		return a.sharing.Own()
	}
	return a.by.Rules()
}

// lookBeside is what a shared DOCKER-USER needs before anything is asked or said.
func (a *applying) lookBeside() (err error) {
	if a.sharing != nil {
		a.stricter, err = a.beside()
	}
	return err
}

// holdsAlready reports whether rules that say what the policy says need no load: they are
// the script's, or where the script puts them in a layout that nobody asked about.
func (a *applying) holdsAlready() (holds, same bool, err error) {
	if a.sharing != nil {
		if opens, err := a.opensNow(); err != nil || opens {
			return false, false, err
		}
	}
	if same, err = a.by.Same(a.fresh); err != nil || same {
		return same, same, err
	}
	placed, err := a.by.Placed()
	return placed && !a.c.Flags().Changed("layout"), false, err
}
