package examples

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// forge stands for GitHub or GitLab: the comments of a pull request, and the reports of code
// scanning. It has 120 comments of others from the start, more than a page; one has no text,
// and one is somebody's who would like it to be taken for Seawall's.
type forge struct {
	lock     sync.Mutex
	comments []comment
	calls    []string // method and path
	reports  []report
	broken   string // a path that is refused
	faults   []fault
	login    string // of the token; "" for GITHUB_TOKEN, which may not ask
	mighty   bool   // the token may edit what others wrote
}

// fault is what goes wrong with a call, so many times.
type fault struct {
	method, path string
	status       int // 0 closes the connection
	times        int
	applied      bool // it is done, but the answer says something else
}

type comment struct {
	ID     int     `json:"id"`
	Body   *string `json:"body"`
	User   user    `json:"user"`   // of GitHub
	Author user    `json:"author"` // of GitLab
}

type user struct {
	ID    int    `json:"id"`
	Login string `json:"login"`
	Type  string `json:"type"`
}

// Seawall's own user, somebody's, and another bot.
var (
	robot   = user{55, "github-actions[bot]", "Bot"}
	mallory = user{66, "mallory", "User"}
	helper  = user{77, "helper[bot]", "Bot"}
)

func (f *forge) add(body *string, u user) {
	f.comments = append(f.comments, comment{len(f.comments) + 1, body, u, u})
}

type report struct {
	Commit string `json:"commit_sha"`
	Ref    string `json:"ref"`
	SARIF  string `json:"sarif"`
}

func newForge(t *testing.T) (*forge, string) {
	t.Helper()
	f := &forge{}
	for i := range 118 {
		text := fmt.Sprintf("comment %d", i)
		f.add(&text, mallory)
	}
	mine := "<!-- seawall: policies -->\nAll is well."
	f.add(&mine, mallory)
	f.add(nil, helper)
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}

var (
	list = regexp.MustCompile(`^/(repos/o/r/issues/7/comments|projects/3/merge_requests/7/notes)$`)
	one  = regexp.MustCompile(`^/(repos/o/r/issues/comments|projects/3/merge_requests/7/notes)/(\d+)$`)
)

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.calls = append(f.calls, r.Method+" "+r.URL.Path)
	for i := range f.faults {
		x := &f.faults[i]
		if x.times == 0 || x.method != r.Method || !strings.Contains(r.URL.Path, x.path) {
			continue
		}
		x.times--
		if x.applied {
			f.serve(httptest.NewRecorder(), r)
		}
		if x.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(x.status)
		_, _ = io.WriteString(w, "<html>")
		return
	}
	f.serve(w, r)
}

// serve answers as the forge does when nothing is wrong.
func (f *forge) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m := one.FindStringSubmatch(r.URL.Path)
	me := robot
	if f.login != "" {
		me = user{88, f.login, "User"}
	}
	var given comment
	switch {
	case f.broken != "" && strings.Contains(r.URL.Path, f.broken):
		http.Error(w, `{"message": "Resource not accessible by integration"}`, http.StatusForbidden)
	case r.Header.Get("Authorization") != "Bearer secret" && r.Header.Get("PRIVATE-TOKEN") != "secret":
		http.Error(w, "no token", http.StatusUnauthorized)
	case r.URL.Path == "/user" && f.login == "" && r.Header.Get("PRIVATE-TOKEN") == "":
		http.Error(w, `{"message": "Resource not accessible by integration"}`, http.StatusForbidden)
	case r.URL.Path == "/user":
		_ = json.NewEncoder(w).Encode(me)
	case r.Method == http.MethodGet && list.MatchString(r.URL.Path):
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		from := min((page-1)*per, len(f.comments))
		_ = json.NewEncoder(w).Encode(f.comments[from:min(from+per, len(f.comments))])
	case r.Method == http.MethodPost && list.MatchString(r.URL.Path) && json.Unmarshal(body, &given) == nil:
		f.add(given.Body, me)
		w.WriteHeader(http.StatusCreated)
	case (r.Method == http.MethodPatch || r.Method == http.MethodPut) && m != nil && json.Unmarshal(body, &given) == nil:
		id, _ := strconv.Atoi(m[2])
		if f.comments[id-1].User != me && !f.mighty {
			http.Error(w, `{"message": "Forbidden"}`, http.StatusForbidden)
			return
		}
		f.comments[id-1].Body = given.Body
	case r.Method == http.MethodPost && r.URL.Path == "/repos/o/r/code-scanning/sarifs":
		var x report
		if err := json.Unmarshal(body, &x); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.reports = append(f.reports, x)
		w.WriteHeader(http.StatusAccepted)
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// others is how many comments there are of others.
const others = 120

// own are the texts of the comments that others did not write.
func (f *forge) own() []string {
	f.lock.Lock()
	defer f.lock.Unlock()
	var texts []string
	for _, c := range f.comments[others:] {
		if c.User != mallory && c.User != helper {
			texts = append(texts, *c.Body)
		}
	}
	return texts
}

// said is all that they say.
func (f *forge) said() string { return strings.Join(f.own(), "\n----\n") }

// with is the repository with a program in front of those in PATH, a script of bash. In it,
// "$REAL" is the seawall that is tested.
func (r *repository) with(name, script string) *repository {
	r.t.Helper()
	dir := r.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	changed := *r
	changed.env = append(slices.Clone(r.env), "REAL="+program(r.t), "PATH="+dir+":"+filepath.Dir(program(r.t))+":"+os.Getenv("PATH"))
	return &changed
}

// output is what the last run of the action says whether the meaning changed.
func (r *repository) output() string {
	r.t.Helper()
	path := filepath.Join(r.dir, "../output")
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// github is what expressions of action.yml are in a pull request.
var github = map[string]string{
	"github.base_ref": "main",
	"github.event.before || github.event.merge_group.base_sha": "",
	"github.event.pull_request.number":                         "7",
	"github.event.pull_request.head.sha || github.sha":         "0123abc",
	"github.event.pull_request.head.repo.full_name":            "o/r",
}

// push is what they are in another event.
func push(before string) map[string]string {
	return map[string]string{"github.base_ref": "", "github.event.before || github.event.merge_group.base_sha": before, "github.event.pull_request.number": "", "github.event.pull_request.head.repo.full_name": ""}
}

// action runs the action as GitHub does: the environment is what action.yml makes of the
// inputs, and of expressions among them.
func (r *repository) action(url string, inputs map[string]string) (string, error) {
	r.t.Helper()
	text, err := os.ReadFile("ci/action/action.yml")
	if err != nil {
		r.t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Steps []struct {
				ID, Run string
				Env     map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		r.t.Fatal(err)
	}
	step := action.Runs.Steps[len(action.Runs.Steps)-1]
	where, err := filepath.Abs("ci/action")
	if err != nil {
		r.t.Fatal(err)
	}
	env := append(slices.Clone(r.env), "GITHUB_ACTION_PATH="+where, "GITHUB_API_URL="+url, "GITHUB_REPOSITORY=o/r", "GITHUB_REF=refs/pull/7/merge",
		"GITHUB_OUTPUT="+filepath.Join(r.dir, "../output"), "GITHUB_STEP_SUMMARY="+filepath.Join(r.dir, "../summary"))
	expression := regexp.MustCompile(`\$\{\{ (.*?) \}\}`)
	for name, value := range step.Env {
		value = expression.ReplaceAllStringFunc(value, func(e string) string {
			e = expression.FindStringSubmatch(e)[1]
			if input, ok := strings.CutPrefix(e, "inputs."); ok && !strings.ContainsAny(input, " |") {
				if _, known := action.Inputs[input]; !known {
					r.t.Errorf("%s is not an input", input)
				}
				if v, given := inputs[input]; given {
					return v
				}
				if input == "token" {
					return "secret"
				}
				return action.Inputs[input].Default
			}
			if v, given := inputs[e]; given {
				return v
			}
			if v, known := github[e]; known {
				return v
			}
			r.t.Errorf("the test does not know ${{ %s }}", e)
			return ""
		})
		env = append(env, name+"="+value)
	}
	c := exec.Command("bash", "-e", "-c", step.Run)
	c.Dir, c.Env = r.dir, env
	out, err := c.CombinedOutput()
	return string(out), err
}

// The action comments once and updates its comment, uploads findings, and fails for what it
// was asked to fail for.
func TestAction(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	r.policy("10.0.0.0/8")
	out, err := r.action(url, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := f.own()
	if len(first) != 1 || !strings.HasPrefix(first[0], "<!-- seawall: policies -->\n") || !strings.Contains(first[0], "10.0.0.0/8") {
		t.Fatalf("%v\n%s", first, out)
	}
	if got := r.output(); got != "changed=true\n" {
		t.Errorf("the output is %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(r.dir, "../summary")); !strings.Contains(string(got), "10.0.0.0/8") {
		t.Errorf("the summary is %q", got)
	}

	r.policy("172.16.0.0/12")
	if out, err = r.action(url, nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if second := f.own(); len(second) != 1 || strings.Contains(second[0], "10.0.0.0/8") || !strings.Contains(second[0], "172.16.0.0/12") {
		t.Errorf("after a second push: %v", second)
	}

	// Of each run, the findings and the tests.
	if len(f.reports) != 4 {
		t.Fatalf("%d reports", len(f.reports))
	}
	for _, x := range f.reports {
		if x.Commit != "0123abc" || x.Ref != "refs/pull/7/merge" {
			t.Errorf("a report is about %s of %s", x.Commit, x.Ref)
		}
		var log struct {
			Version string
			Runs    []struct {
				AutomationDetails struct{ ID string }
				Results           []struct{ RuleID string }
			}
		}
		if err := json.Unmarshal(unpacked(t, x.SARIF), &log); err != nil || log.Version != "2.1.0" || len(log.Runs) != 1 || !strings.HasPrefix(log.Runs[0].AutomationDetails.ID, "seawall-") {
			t.Errorf("%v: %+v", err, log)
		}
	}
}

// unpacked is the text of a report as it is uploaded.
func unpacked(t *testing.T, text string) []byte {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestActionFails(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	const mistake = start + "policy \"p\" {\n  ports = [\"eighty\"]\n}\n"
	r := newRepository(t)
	for _, test := range []struct {
		what, policy string
		inputs       map[string]string
		broken, says string // says: "" when the job passes
		comments     int
	}{
		{"a mistake", mistake, nil, "", "The policy has mistakes.", 1},
		{"a mistake that may be", mistake, map[string]string{"fail-on": "never"}, "", "", 1},
		{"a test that fails", failingTest, nil, "", "Tests of the policy fail.", 1},
		{"a warning", withWarning, nil, "", "", 1},
		{"a warning that counts", withWarning, map[string]string{"fail-on": "warning"}, "", "The policy has findings.", 1},
		{"a hint", withHint, map[string]string{"fail-on": "warning"}, "", "", 1},
		{"a warning that may be", withWarning, map[string]string{"fail-on": "never"}, "", "", 1},
		{"a hint that counts", withHint, map[string]string{"fail-on": "hint"}, "", "The policy has findings.", 1},
		{"a mistyped severity", withHint, map[string]string{"fail-on": "warnings"}, "", "fail-on is error, warning, hint or never", 0},
		{"no comment wanted", withHint, map[string]string{"comment": "false"}, "", "", 0},
		{"compiled files that are old", withHint, map[string]string{"compiled": "build"}, "", "out of date", 1},
		{"a token that may not comment", withHint, nil, "issues", "The comments of the pull request cannot be read (403 Resource not accessible by integration).", 0},
		{"a token that may not upload", withHint, nil, "code-scanning", "The findings cannot be uploaded", 1},
		{"no upload wanted", withHint, map[string]string{"sarif": "false"}, "code-scanning", "", 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			f, url := newForge(t)
			f.broken = test.broken
			r.write("policies/policy.hcl", test.policy)
			out, err := r.action(url, test.inputs)
			if (err != nil) != (test.says != "") || !strings.Contains(out, test.says) {
				t.Errorf("%v\n%s\nwant %q", err, out, test.says)
			}
			if n := len(f.own()); n != test.comments {
				t.Errorf("%d comments", n)
			}
		})
	}
}

// Policies for both forges: with a warning, with a hint, and with a test that fails.
const (
	start       = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n"
	withWarning = start + "set \"unused\" { sources = [\"192.0.2.1\"] }\npolicy \"web\" {\n  ports = [443]\n  allow { sources = any }\n}\n"
	withHint    = start + "policy \"db\" {\n  ports = [5432]\n  allow { sources = any }\n}\n"
	failingTest = withWarning + "test \"nobody\" {\n  to = [443]\n  deny = any\n}\n"
)

// Findings of one host count as those of a policy without hosts do.
var ofHosts = []struct {
	policy, failOn string
	fails          bool
}{
	{withWarning, "error", false},
	{withWarning, "warning", true},
	{withWarning, "hint", true},
	{withHint, "warning", false},
	{withHint, "hint", true},
}

func TestActionForHosts(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	r.must("mkdir 'the hosts' && touch 'the hosts/a.vars.hcl' && echo '{}' > 'the hosts/b.vars.json'")
	for _, test := range ofHosts {
		f, url := newForge(t)
		r.write("policies/policy.hcl", test.policy)
		out, err := r.action(url, map[string]string{"hosts": "the hosts", "fail-on": test.failOn})
		if (err != nil) != test.fails || strings.Contains(out, "The policy has findings.") != test.fails {
			t.Errorf("%s, %s: %v\n%s", test.policy, test.failOn, err, out)
		}
		if len(f.own()) != 1 || len(f.reports) != 0 || !strings.Contains(out, "::notice::With hosts, no SARIF is uploaded") {
			t.Errorf("%v, %d reports\n%s", f.own(), len(f.reports), out)
		}
	}
}

// dying are ways in which a program may end that is no answer, and a program that does so
// when it compares.
var dying = map[string]string{
	"killed":                       `[ "$1" != diff ] || exit 137`,
	"killed while it writes":       `[ "$1" != diff ] || { echo half a report; exit 137; }`,
	"crashed":                      `[ "$1" != diff ] || { echo "panic: no" >&2; exit 2; }`,
	"ended before it has answered": `[ "$1" != diff ] || exit 0`,
}

// A comparison that fails is a failure, and the comment says so.
func TestActionCannotCompare(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	r.policy("10.0.0.0/8")
	check := func(what string, r *repository, inputs map[string]string, base, says string) {
		f, url := newForge(t)
		old := "<!-- seawall: policies -->\nAn old report."
		f.add(&old, robot)
		out, err := r.action(url, inputs)
		want := "<!-- seawall: policies -->\n**The change cannot be compared with `" + base + "`.** The job says why.\n\n"
		if own := f.own(); err == nil || !strings.Contains(out, says) || len(own) != 1 || own[0] != want {
			t.Errorf("%s: %v\n%s\n%q", what, err, out, own)
		}
		if got := r.output(); got != "changed=\n" {
			t.Errorf("%s: the output is %q", what, got)
		}
	}
	for what, script := range dying {
		check(what, r.with("seawall", script+"\nexec \"$REAL\" \"$@\""), nil, "origin/main", "::error::The change cannot be compared with origin/main.")
	}
	check("no such base", r, map[string]string{"base": "origin/gone"}, "origin/gone", "which this clone does not have. Give actions/checkout fetch-depth: 0.")
}

// What goes wrong with the API for a while changes nothing, and what goes wrong for good is
// said, and keeps nothing else from being done.
func TestActionFaults(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	r.policy("10.0.0.0/8")
	for _, test := range []struct {
		what     string
		fault    fault
		says     string // "" when the job passes
		comments int
		reports  int
	}{
		{"who it is, once", fault{"GET", "/user", 502, 1, false}, "", 1, 2},
		{"the comments, once", fault{"GET", "comments", 502, 1, false}, "", 1, 2},
		{"no answer, once", fault{"GET", "comments", 0, 1, false}, "", 1, 2},
		{"a comment that is not written, once", fault{"POST", "comments", 502, 1, false}, "", 1, 2},
		{"a comment that is written all the same", fault{"POST", "comments", 502, 1, true}, "", 1, 2},
		{"a comment that is written, without an answer", fault{"POST", "comments", 0, 1, true}, "", 1, 2},
		{"an update, once", fault{"PATCH", "comments", 500, 1, false}, "", 1, 2},
		{"an upload, once", fault{"POST", "sarifs", 503, 1, false}, "", 1, 2},
		{"who it is", fault{"GET", "/user", 500, -1, false}, "::error::The comments of the pull request cannot be read (500", 0, 2},
		{"the comments", fault{"GET", "comments", 500, -1, false}, "::error::The comments of the pull request cannot be read (500", 0, 2},
		{"comments that are not JSON", fault{"GET", "comments", 200, -1, false}, "::error::The comments of the pull request cannot be read (200", 0, 2},
		{"the writing", fault{"POST", "comments", 0, -1, false}, "::error::The comment cannot be written (no answer)", 0, 2},
		{"the upload", fault{"POST", "sarifs", 503, -1, false}, "::error::The findings cannot be uploaded (503", 1, 0},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			for _, failOn := range []string{"error", "never"} {
				f, url := newForge(t)
				f.faults = []fault{test.fault}
				if test.fault.method == "PATCH" {
					old := "<!-- seawall: policies -->\nAn old report."
					f.add(&old, robot)
				}
				out, err := r.action(url, map[string]string{"fail-on": failOn})
				if (err != nil) != (test.says != "" && failOn != "never") || !strings.Contains(out, test.says) {
					t.Errorf("%v\n%s\nwant %q", err, out, test.says)
				}
				if len(f.own()) != test.comments || len(f.reports) != test.reports {
					t.Errorf("%v, %d reports", f.own(), len(f.reports))
				}
			}
		})
	}
}

// Only what the token's own user wrote is Seawall's comment.
func TestActionKeepsToItsOwn(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	mark := "<!-- seawall: policies -->\nAn old report."
	for _, login := range []string{"", "ci"} {
		f, url := newForge(t)
		f.login = login
		if f.mighty = login != ""; !f.mighty {
			f.add(&mark, helper) // refuses to be updated
		}
		for range 2 {
			if out, err := r.action(url, nil); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		if own := f.own(); len(own) != 1 || !strings.Contains(own[0], "The meaning is the same") {
			t.Errorf("%q: %v", login, own)
		}
		if got := *f.comments[118].Body; !strings.HasSuffix(got, "All is well.") {
			t.Errorf("somebody's comment is now %q", got)
		}
	}
}

// Nobody can change that the token of a pull request from a fork may only read.
func TestActionFork(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	r.policy("10.0.0.0/8")
	f, url := newForge(t)
	f.faults = []fault{{"POST", "/", http.StatusForbidden, -1, false}}
	if out, err := r.action(url, nil); err == nil {
		t.Errorf("a token that may only read, of the repository's own:\n%s", out)
	}
	out, err := r.action(url, map[string]string{"github.event.pull_request.head.repo.full_name": "mallory/r"})
	if err != nil || strings.Contains(out, "::error::") || !strings.Contains(out, "::notice::The comment cannot be written: ") || !strings.Contains(out, "::notice::The findings cannot be uploaded: ") {
		t.Errorf("%v\n%s", err, out)
	}
	if got, _ := os.ReadFile(filepath.Join(r.dir, "../summary")); !strings.Contains(string(got), "10.0.0.0/8") {
		t.Errorf("the summary is %q", got)
	}
}

// arguments makes curl write its arguments down, which every user of a machine may read.
func (r *repository) arguments() (*repository, string) {
	r.t.Helper()
	curl, err := exec.LookPath("curl")
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.t.TempDir(), "arguments")
	return r.with("curl", "printf '%s\\n' \"$*\" >> '"+file+"'\nexec '"+curl+"' \"$@\""), file
}

func TestTokenIsNoArgument(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	_, url := newForge(t)
	r, file := newRepository(t).arguments()
	if out, err := r.action(url, nil); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := r.gitlab(url); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(got), "secret") || !strings.Contains(string(got), "/projects/3/") || !strings.Contains(string(got), "/repos/o/r/") {
		t.Errorf("%v\n%s", err, got)
	}
}

// A comment says when a folder is new, renamed or gone, and names in that are only text.
func TestActionNotes(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	r.must("mkdir fresh && printf 'host {\\n  external = [\"eth1\"]\\n  unlisted = \"deny\"\\n}\\n' > fresh/new.hcl")
	if out, err := r.action(url, map[string]string{"policy": "fresh"}); err != nil || !strings.HasPrefix(f.said(), "<!-- seawall: fresh -->\n> `Note: origin/main has no fresh; no rules are compared with what is there now.`\n\n### ") {
		t.Errorf("new: %v\n%s\n%v", err, out, f.own())
	}
	r.must("rm -r policies")
	if out, err := r.action(url, nil); err != nil || !strings.Contains(f.said(), "> `Note: policies is gone; ") || !strings.Contains(f.said(), "192.168.0.1") || strings.Contains(f.said(), "mistakes") {
		t.Errorf("gone: %v\n%s\n%v", err, out, f.own())
	}
	if got := r.output(); got != "changed=true\nchanged=true\n" {
		t.Errorf("the output is %q", got)
	}
	if out, err := r.action(url, map[string]string{"policy": "missing"}); err == nil {
		t.Errorf("one that never was:\n%s", out)
	}

	r.must("git checkout -q . && git mv policies $'o`d`d <b>\\r\\n::error::no' && git commit -qm odd && git push -q origin main && git fetch -q && git mv $'o`d`d <b>\\r\\n::error::no' policies")
	out, err := r.action(url, nil)
	if err != nil || !strings.Contains(f.said(), "\n----\n<!-- seawall: policies -->\n> `Note: origin/main has it as o'd'd <b>\\r`\n\n### ") {
		t.Errorf("renamed: %v\n%s\n%v", err, out, f.own())
	}
	if strings.Contains(out, "\n::error::") || !regexp.MustCompile(`(?s)::stop-commands::(seawall-\d+)\nNote: .*\n::seawall-\d+::\n`).MatchString(out) {
		t.Errorf("a workflow command of a name:\n%s", out)
	}
}

// Ways of writing a setting are one, and what is none is refused.
func TestActionSettings(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	for _, policy := range []string{"policies", "./policies", "policies/", ".//./policies/./"} {
		if out, err := r.action(url, map[string]string{"policy": policy, "comment": "True"}); err != nil {
			t.Errorf("%s: %v\n%s", policy, err, out)
		}
	}
	if own := f.own(); len(own) != 1 {
		t.Errorf("%v", own)
	}
	for _, test := range []struct{ input, value, says string }{
		{"comment", "yes", `comment is true or false, not "yes".`},
		{"sarif", "", `sarif is true or false, not "".`},
		{"policy", "--help", `policy is a file or a folder, not "--help".`},
		{"policy", "./-p", `policy is a file or a folder, not "-p".`},
		{"policy", "", "policy is empty."},
		{"base", "--output=x", `base is a revision, not "--output=x".`},
	} {
		if out, err := r.action(url, map[string]string{test.input: test.value}); err == nil || !strings.HasPrefix(out, "::error::"+test.says) {
			t.Errorf("%v: %v\n%s", test, err, out)
		}
	}
}

// The reports of two policies do not replace each other.
func TestActionCategories(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	r.must("cp -r policies more")
	for _, policy := range []string{"policies", "more"} {
		if out, err := r.action(url, map[string]string{"policy": policy}); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	var ids []string
	for _, x := range f.reports {
		var log struct {
			Runs []struct{ AutomationDetails struct{ ID string } }
		}
		if err := json.Unmarshal(unpacked(t, x.SARIF), &log); err != nil || len(log.Runs) != 1 {
			t.Fatal(err, log)
		}
		ids = append(ids, log.Runs[0].AutomationDetails.ID)
	}
	if want := []string{"seawall-validate/policies/", "seawall-test/policies/", "seawall-validate/more/", "seawall-test/more/"}; !slices.Equal(ids, want) {
		t.Errorf("%q, want %q", ids, want)
	}
}

// A push is compared with what was there before it, if that is known.
func TestActionPush(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	before := strings.TrimSpace(r.must("git rev-parse HEAD"))
	r.policy("10.0.0.0/8")
	r.must("git commit -qam second")
	if out, err := r.action(url, push(before)); err != nil || r.output() != "changed=true\n" {
		t.Errorf("%v\n%s", err, out)
	}
	for _, before := range []string{strings.Repeat("0", len(before)), ""} {
		if out, err := r.action(url, push(before)); err != nil || r.output() != "changed=\n" || !strings.Contains(out, "::notice::There is nothing to compare the policy with") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if own := f.own(); len(own) != 0 || len(f.reports) != 6 {
		t.Errorf("%v, %d reports", own, len(f.reports))
	}
}

// goOn commits another change to the branch that a pull request is for, which the pull
// request does not have.
func (r *repository) goOn() (began string) {
	r.t.Helper()
	began = strings.TrimSpace(r.must("git rev-parse HEAD"))
	r.policy("172.16.0.0/12")
	r.must("git commit -qam other && git push -q origin main && git fetch -q && git checkout -q -b change HEAD~1")
	r.policy("10.0.0.0/8")
	r.must("git commit -qam change")
	return began
}

// What happens to the branch of a pull request is not the pull request's doing.
func TestActionMergeBase(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl", "gzip")
	r := newRepository(t)
	f, url := newForge(t)
	r.goOn()
	if out, err := r.action(url, nil); err != nil || !strings.Contains(f.said(), "10.0.0.0/8") || strings.Contains(f.said(), "172.16.0.0/12") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
}

// The hook checks what is committed, whatever the working tree has.
func TestPreCommitHookOfTheIndex(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	hook, err := os.ReadFile("ci/pre-commit")
	if err != nil {
		t.Fatal(err)
	}
	r.write(".git/hooks/pre-commit", string(hook))
	// A list of another folder is part of what is committed.
	r.must("chmod +x .git/hooks/pre-commit && mkdir lists")
	r.write("lists/office.txt", "192.0.2.0/24\n")
	list := start + "\nset \"office\" {\n  files = [\"../lists/office.txt\"]\n}\n\npolicy \"admin\" {\n  ports = [8080]\n  allow { sources = set.office }\n}\n"
	for _, test := range []struct{ what, staged, working, says string }{
		{"a mistake", start + "oops {\n", list, "policies/policy.hcl"},
		{"a change in layout", strings.Replace(list, "  ports", "ports", 1), list, "seawall fmt policies"},
		{"a test that fails", list + "\ntest \"nobody\" {\n  to   = [8080]\n  deny = any\n}\n", list, "nobody"},
		{"a port", strings.Replace(list, "8080", "8081", 1), list, "out of date"},
	} {
		r.write("policies/policy.hcl", test.staged)
		r.must("git add .")
		r.write("policies/policy.hcl", test.working)
		r.must("seawall compile policies --out-dir build")
		if out, ok := r.run("git commit -qm second"); ok || !strings.Contains(out, test.says) || strings.Contains(out, "/tmp") || strings.Contains(out, "layout") != (test.says == "seawall fmt policies") {
			t.Errorf("%s:\n%s", test.what, out)
		}
	}
	r.write("policies/policy.hcl", list)
	r.must("make build && git add .")
	r.write("policies/policy.hcl", "oops {\n")
	if out := r.must("git commit -m second && git diff --stat"); !strings.Contains(out, "+ 192.0.2.0/24 → policy admin: tcp port 8080") || !strings.Contains(out, "policies/policy.hcl | ") {
		t.Errorf("a mistake that is not committed:\n%s", out)
	}
	if out := r.must("git rm -qrf policies && git commit -m third && git status --porcelain"); !strings.Contains(out, "policies is gone") || strings.Contains(out, "??") {
		t.Errorf("a policy that is gone:\n%s", out)
	}
}

// The hooks of pre-commit, of a clone of this repository in a fresh one: files are formatted,
// a mistake and a failed test stop the commit.
func TestPreCommit(t *testing.T) {
	t.Parallel()
	needs(t, "pre-commit", "git")
	root := t.TempDir()
	hooks, fresh := filepath.Join(root, "hooks"), filepath.Join(root, "fresh")
	sh := func(script string) (string, error) {
		c := exec.Command("bash", "-euc", script)
		cache := func(name string) string {
			out, err := exec.Command("go", "env", name).Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(out))
		}
		c.Env = append(os.Environ(), "HOOKS="+hooks, "FRESH="+fresh, "PRE_COMMIT_HOME="+filepath.Join(root, "home"), "GOMODCACHE="+cache("GOMODCACHE"), "GOCACHE="+cache("GOCACHE"),
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	must := func(script string) string {
		t.Helper()
		out, err := sh(script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return out
	}
	// The hooks' repository is this one as it is, committed or not.
	must(`mkdir "$HOOKS" "$FRESH"
		cd "$(git rev-parse --show-toplevel)"
		git ls-files --cached --others --exclude-standard -z | xargs -0 -I{} sh -c '[ ! -e "{}" ] || echo "{}"' | tar -cf - -T - | tar -xf - -C "$HOOKS"
		cd "$HOOKS" && git init -q -b main . && git add -A && git commit -qm hooks`)
	must(`cd "$FRESH" && git init -q -b main . && mkdir policies
		cat > .pre-commit-config.yaml <<END
repos:
  - repo: $HOOKS
    rev: $(git -C "$HOOKS" rev-parse HEAD)
    hooks: [{id: seawall-fmt}, {id: seawall-validate}, {id: seawall-test}]
END
		printf 'host {\nexternal = ["eth0"]\n  unlisted = "deny"\n}\npolicy "web" {\n  ports = [443]\n  allow { sources = any }\n}\n' > policies/policy.hcl
		for n in one two three; do printf 'set "%s" {\nsources = ["192.0.2.1"]\n}\n' "$n" > "policies/$n.hcl"; done
		pre-commit install && git add -A`)
	out, err := sh(`cd "$FRESH" && git commit -m first`)
	if err == nil || !strings.Contains(out, "files were modified by this hook") || strings.Contains(out, "Error") {
		t.Fatalf("files that were not formatted are committed: %v\n%s", err, out)
	}
	if out := must(`cd "$FRESH" && git add -A && git commit -m first`); strings.Count(out, "Passed") != 3 {
		t.Fatalf("%s", out)
	}
	for change, says := range map[string]string{
		`test "nobody" {\n  to   = [443]\n  deny = any\n}`: "seawall test",
		`policy "p" {}`: "seawall validate",
	} {
		out, err := sh(`cd "$FRESH" && printf '` + change + `\n' >> policies/policy.hcl && git add -A && git commit -m second`)
		must(`cd "$FRESH" && git reset -q --hard`)
		if err == nil || !regexp.MustCompile(says+`\.+Failed`).MatchString(out) {
			t.Errorf("%s: %v\n%s", change, err, out)
		}
	}
}

// gitlab runs the job of the template as a runner does.
func (r *repository) gitlab(url string, env ...string) (string, error) {
	r.t.Helper()
	text, err := os.ReadFile("ci/gitlab.yml")
	if err != nil {
		r.t.Fatal(err)
	}
	var template struct {
		Variables map[string]string
		Seawall   struct{ Script []string }
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		r.t.Fatal(err)
	}
	all := append(slices.Clone(r.env), "CI_API_V4_URL="+url, "CI_PROJECT_ID=3", "CI_MERGE_REQUEST_IID=7", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME=main", "SEAWALL_TOKEN=secret")
	for name, value := range template.Variables {
		all = append(all, name+"="+value)
	}
	c := exec.Command("bash", "-eo", "pipefail", "-c", strings.Join(template.Seawall.Script, "\n"))
	c.Dir, c.Env = r.dir, append(all, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// The template of GitLab writes one note and updates it, and fails as it was asked to.
func TestGitLab(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl")
	r := newRepository(t)
	f, url := newForge(t)
	r.policy("10.0.0.0/8")
	if out, err := r.gitlab(url); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.policy("172.16.0.0/12")
	out, err := r.gitlab(url)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if notes := f.own(); len(notes) != 1 || !strings.HasPrefix(notes[0], "<!-- seawall: policies -->\n") || !strings.Contains(notes[0], "172.16.0.0/12") {
		t.Errorf("%v\n%s", notes, out)
	}
	var log struct{ Version string }
	if text, err := os.ReadFile(filepath.Join(r.dir, "seawall.sarif")); err != nil || json.Unmarshal(text, &log) != nil || log.Version != "2.1.0" {
		t.Errorf("the artifact: %v %+v", err, log)
	}
	if out, err := r.gitlab(url, "SEAWALL_FAIL_ON=hint"); err == nil || !strings.Contains(out, "The policy has findings.") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := r.gitlab(url, "SEAWALL_COMPILED=build"); err == nil || !strings.Contains(out, "The files in build are out of date.") {
		t.Errorf("%v\n%s", err, out)
	}
	r.write("policies/policy.hcl", "policy \"p\" {}\n")
	if out, err := r.gitlab(url); err == nil || !strings.Contains(out, "The policy has mistakes.") || !strings.Contains(f.said(), "has mistakes") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
}

func TestGitLabForHosts(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl")
	r := newRepository(t)
	_, url := newForge(t)
	r.must("mkdir 'the hosts' && touch 'the hosts/a.vars.hcl' && echo '{}' > 'the hosts/b.vars.json'")
	for _, test := range ofHosts {
		r.write("policies/policy.hcl", test.policy)
		out, err := r.gitlab(url, "SEAWALL_HOSTS=the hosts", "SEAWALL_FAIL_ON="+test.failOn)
		if (err != nil) != test.fails || strings.Contains(out, "The policy has findings.") != test.fails {
			t.Errorf("%s, %s: %v\n%s", test.policy, test.failOn, err, out)
		}
	}
}

// The template says what it cannot do, in the note as well, and leaves nothing behind.
func TestGitLabFails(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl")
	r := newRepository(t)
	r.policy("10.0.0.0/8")
	for what, script := range dying {
		f, url := newForge(t)
		out, err := r.with("seawall", script+"\nexec \"$REAL\" \"$@\"").gitlab(url)
		want := "<!-- seawall: policies -->\n**The change cannot be compared with `main`.** The job says why.\n\n"
		if own := f.own(); err == nil || !strings.Contains(out, "The change cannot be compared with main.") || len(own) != 1 || own[0] != want {
			t.Errorf("%s: %v\n%s\n%q", what, err, out, own)
		}
	}
	for _, test := range []struct{ variable, says string }{
		{"SEAWALL_FAIL_ON=warnings", `SEAWALL_FAIL_ON is error, warning or hint, not "warnings".`},
		{"SEAWALL_POLICY=--help", `SEAWALL_POLICY is a file or a folder, not "--help".`},
		{"SEAWALL_POLICY=", "SEAWALL_POLICY is empty."},
	} {
		f, url := newForge(t)
		if out, err := r.gitlab(url, test.variable); err == nil || !strings.Contains(out, test.says) || len(f.calls) != 0 {
			t.Errorf("%s: %v\n%s", test.variable, err, out)
		}
	}
	f, url := newForge(t)
	r.write("policies/policy.hcl", failingTest)
	if out, err := r.gitlab(url); err == nil || !strings.Contains(f.said(), "**Tests of the policy fail.**") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
	r.must("rm -r policies")
	if out, err := r.gitlab(url, "SEAWALL_POLICY=./policies/"); err != nil || len(f.own()) != 1 || !strings.Contains(f.said(), "\n> `Note: policies is gone; ") || !strings.Contains(f.said(), "192.168.0.1") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
	if got := r.must("git status --porcelain"); got != " D policies/policy.hcl\n?? seawall-diff.md\n?? seawall.sarif\n" {
		t.Errorf("it left behind:\n%s", got)
	}
}

// A merge request is compared with where it began, however that is found.
func TestGitLabMergeBase(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl")
	r := newRepository(t)
	began := r.goOn()
	for _, variable := range []string{"", "CI_MERGE_REQUEST_DIFF_BASE_SHA=" + began, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA=" + began} {
		f, url := newForge(t)
		if out, err := r.gitlab(url, variable); err != nil || !strings.Contains(f.said(), "10.0.0.0/8") || strings.Contains(f.said(), "172.16.0.0/12") {
			t.Errorf("%s: %v\n%s\n%v", variable, err, out, f.own())
		}
	}
	// The project of the merge request is another than that of a fork's pipeline.
	r.must("ln -s origin ../origin.git && git remote set-url origin ../nowhere")
	f, url := newForge(t)
	if out, err := r.gitlab(url, "CI_PROJECT_ID=9", "CI_MERGE_REQUEST_PROJECT_ID=3", "CI_MERGE_REQUEST_PROJECT_URL=../origin"); err != nil || len(f.own()) != 1 || strings.Contains(f.said(), "172.16.0.0/12") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
	f, url = newForge(t)
	out, err := r.gitlab(url, "CI_MERGE_REQUEST_DIFF_BASE_SHA="+strings.Repeat("1", len(began)))
	if err == nil || !strings.Contains(out, "Leave GIT_DEPTH at 0.") || len(f.own()) != 1 || !strings.Contains(f.said(), "cannot be compared") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
}

func TestGitLabFaults(t *testing.T) {
	t.Parallel()
	needs(t, "jq", "curl")
	r := newRepository(t)
	r.policy("10.0.0.0/8")
	for _, test := range []struct {
		what  string
		fault fault
		old   bool // there is a note
		says  string
		notes int
	}{
		{"who it is, once", fault{"GET", "/user", 502, 1, false}, false, "", 1},
		{"the notes, once", fault{"GET", "notes", 500, 1, false}, true, "", 1},
		{"a note that is not written, once", fault{"POST", "notes", 502, 1, false}, false, "", 1},
		{"a note that is written all the same", fault{"POST", "notes", 502, 1, true}, false, "", 1},
		{"an update, once", fault{"PUT", "notes", 0, 1, false}, true, "", 1},
		{"who it is", fault{"GET", "/user", 401, -1, false}, true, "The notes of the merge request cannot be read (status 401).", 1},
		{"the notes", fault{"GET", "notes", 500, -1, false}, true, "The notes of the merge request cannot be read (status 500).", 1},
		{"the writing", fault{"POST", "notes", 403, -1, false}, false, "The note cannot be written (status 403).", 0},
		{"a note that may not be updated", fault{"PUT", "notes", 403, -1, false}, true, "", 2},
	} {
		f, url := newForge(t)
		f.faults, f.mighty = []fault{test.fault}, true
		if test.old {
			old := "<!-- seawall: policies -->\nAn old report."
			f.add(&old, robot)
		}
		out, err := r.gitlab(url)
		if (err != nil) != (test.says != "") || !strings.Contains(out, test.says) || len(f.own()) != test.notes {
			t.Errorf("%s: %v\n%s\nwant %q\n%v", test.what, err, out, test.says, f.own())
		}
		if got := *f.comments[118].Body; !strings.HasSuffix(got, "All is well.") {
			t.Errorf("%s: somebody's note is now %q", test.what, got)
		}
	}
}
