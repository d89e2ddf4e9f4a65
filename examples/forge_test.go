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
// scanning. It has 120 comments of others from the start, more than a page.
type forge struct {
	lock     sync.Mutex
	comments []comment
	calls    []string // method and path
	reports  []report
	broken   string // a path that fails
}

type comment struct {
	ID   int    `json:"id"`
	Body string `json:"body"`
}

type report struct {
	Commit string `json:"commit_sha"`
	Ref    string `json:"ref"`
	SARIF  string `json:"sarif"`
}

func newForge(t *testing.T) (*forge, string) {
	t.Helper()
	f := &forge{}
	for i := range 120 {
		f.comments = append(f.comments, comment{i + 1, fmt.Sprintf("comment %d", i)})
	}
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
	body, _ := io.ReadAll(r.Body)
	m := one.FindStringSubmatch(r.URL.Path)
	var given comment
	switch {
	case f.broken != "" && strings.Contains(r.URL.Path, f.broken):
		http.Error(w, "no", http.StatusForbidden)
	case r.Header.Get("Authorization") != "Bearer secret" && r.Header.Get("PRIVATE-TOKEN") != "secret":
		http.Error(w, "no token", http.StatusUnauthorized)
	case r.Method == http.MethodGet && list.MatchString(r.URL.Path):
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		from := min((page-1)*per, len(f.comments))
		_ = json.NewEncoder(w).Encode(f.comments[from:min(from+per, len(f.comments))])
	case r.Method == http.MethodPost && list.MatchString(r.URL.Path) && json.Unmarshal(body, &given) == nil:
		given.ID = len(f.comments) + 1
		f.comments = append(f.comments, given)
		w.WriteHeader(http.StatusCreated)
	case (r.Method == http.MethodPatch || r.Method == http.MethodPut) && m != nil && json.Unmarshal(body, &given) == nil:
		id, _ := strconv.Atoi(m[2])
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

// own are the comments that others did not write.
func (f *forge) own() []comment {
	f.lock.Lock()
	defer f.lock.Unlock()
	return slices.Clone(f.comments[120:])
}

// action runs the action as GitHub does: the environment is what action.yml makes of the
// inputs.
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
			switch {
			case strings.HasPrefix(e, "inputs.base ||"):
				return "origin/main"
			case strings.Contains(e, "pull_request.number"):
				return "7"
			case strings.Contains(e, "head.sha"):
				return "0123abc"
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
	if len(first) != 1 || !strings.HasPrefix(first[0].Body, "<!-- seawall: policies -->\n") || !strings.Contains(first[0].Body, "10.0.0.0/8") {
		t.Fatalf("%v\n%s", first, out)
	}
	if got, _ := os.ReadFile(filepath.Join(r.dir, "../output")); string(got) != "changed=true\n" {
		t.Errorf("the output is %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(r.dir, "../summary")); !strings.Contains(string(got), "10.0.0.0/8") {
		t.Errorf("the summary is %q", got)
	}

	r.policy("172.16.0.0/12")
	if out, err = r.action(url, nil); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if second := f.own(); len(second) != 1 || second[0].ID != first[0].ID || strings.Contains(second[0].Body, "10.0.0.0/8") || !strings.Contains(second[0].Body, "172.16.0.0/12") {
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
	const (
		mistake = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"p\" {\n  ports = [\"eighty\"]\n}\n"
		hint    = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"db\" {\n  ports = [5432]\n  allow { sources = any }\n}\n"
		warning = "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\nset \"unused\" { sources = [\"192.0.2.1\"] }\npolicy \"web\" {\n  ports = [443]\n  allow { sources = any }\n}\n"
		failing = warning + "test \"nobody\" {\n  to = [443]\n  deny = any\n}\n"
	)
	r := newRepository(t)
	for _, test := range []struct {
		what, policy string
		inputs       map[string]string
		broken, says string // says: "" when the job passes
		comments     int
	}{
		{"a mistake", mistake, nil, "", "The policy has mistakes.", 1},
		{"a mistake that may be", mistake, map[string]string{"fail-on": "never"}, "", "", 1},
		{"a test that fails", failing, nil, "", "Tests of the policy fail.", 1},
		{"a warning", warning, nil, "", "", 1},
		{"a warning that counts", warning, map[string]string{"fail-on": "warning"}, "", "The policy has findings.", 1},
		{"a hint", hint, map[string]string{"fail-on": "warning"}, "", "", 1},
		{"a hint that counts", hint, map[string]string{"fail-on": "hint"}, "", "The policy has findings.", 1},
		{"a mistyped severity", hint, map[string]string{"fail-on": "warnings"}, "", "fail-on is error, warning, hint or never", 0},
		{"no comment wanted", hint, map[string]string{"comment": "false"}, "", "", 0},
		{"compiled files that are old", hint, map[string]string{"compiled": "build"}, "", "out of date", 1},
		{"a token that may not comment", hint, nil, "issues", "returned error: 403", 0},
		{"a token that may not upload", hint, nil, "code-scanning", "The findings cannot be uploaded", 1},
		{"no upload wanted", hint, map[string]string{"sarif": "false"}, "code-scanning", "", 1},
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

// The hooks of pre-commit, of a clone of this repository in a fresh one: a file is formatted,
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
		pre-commit install && git add -A`)
	out, err := sh(`cd "$FRESH" && git commit -m first`)
	if err == nil || !strings.Contains(out, "files were modified by this hook") {
		t.Fatalf("a file that was not formatted is committed: %v\n%s", err, out)
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
	if notes := f.own(); len(notes) != 1 || !strings.HasPrefix(notes[0].Body, "<!-- seawall: policies -->\n") || !strings.Contains(notes[0].Body, "172.16.0.0/12") {
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
	if out, err := r.gitlab(url); err == nil || !strings.Contains(out, "The policy has mistakes.") || !strings.Contains(f.own()[0].Body, "has mistakes") {
		t.Errorf("%v\n%s\n%v", err, out, f.own())
	}
}
