package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// repository is a git repository with a policy, what it compiles to, a change of
// the policy that is not compiled, and seawall on the PATH.
type repository struct {
	t   *testing.T
	dir string
	env []string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	needs(t, "git", "make", "bash")
	root := t.TempDir()
	r := &repository{t: t, dir: filepath.Join(root, "repo")}
	r.env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_CONFIG_GLOBAL=/dev/null", "BASE=main")
	if err := os.MkdirAll(filepath.Join(r.dir, "policies"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.policy("192.168.0.1")
	makefile, err := os.ReadFile("ci/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	r.write("Makefile", string(makefile))
	r.must("git init -q -b main . && make build && git add . && git commit -qm first && git clone -q --bare . ../origin && git remote add origin ../origin && git fetch -q")
	return r
}

func (r *repository) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) policy(source string) {
	r.write("policies/policy.hcl", "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n\npolicy \"admin\" {\n  ports = [8080]\n  allow { sources = [\""+source+"\"] }\n}\n\ntest \"strangers stay out\" {\n  to   = [8080]\n  deny = [\"8.8.8.8\"]\n}\n")
}

// run runs a script as CI does, and gives what it said and whether it succeeded.
func (r *repository) run(script string) (string, bool) {
	c := exec.Command("bash", "-e", "-c", script)
	c.Dir, c.Env = r.dir, r.env
	out, err := c.CombinedOutput()
	return string(out), err == nil
}

func (r *repository) must(script string) string {
	r.t.Helper()
	out, ok := r.run(script)
	if !ok {
		r.t.Fatalf("%s:\n%s", script, out)
	}
	return out
}

func TestMakefile(t *testing.T) {
	r := newRepository(t)
	r.must("make check")
	r.policy("192.168.0.2")
	if out, ok := r.run("make check"); ok || !strings.Contains(out, "build/iptables would change") {
		t.Errorf("a policy that was not compiled:\n%s", out)
	}
	r.must("make build && make check")
	r.policy("8.8.8.8")
	if out, ok := r.run("make build && make check"); ok || !strings.Contains(out, "strangers stay out") {
		t.Errorf("a test that does not hold:\n%s", out)
	}
}

// hosts adds a variable file for each of two hosts to the repository.
func (r *repository) hosts() {
	r.write("policies/policy.hcl", "variable \"admin\" { type = string }\n\nhost {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\n\npolicy \"admin\" {\n  ports = [8080]\n  allow { sources = [var.admin] }\n}\n")
	r.must("seawall fmt policies && mkdir hosts && echo 'admin = \"192.168.0.1\"' > hosts/a.vars.hcl && echo 'admin = \"192.168.0.2\"' > hosts/b.vars.hcl")
}

func TestMakefileForHosts(t *testing.T) {
	r := newRepository(t)
	r.hosts()
	r.must("rm -r build && make build HOSTS=hosts && make check HOSTS=hosts && test -f build/a/iptables -a -f build/script/b/seawall.sh")
	r.must("git add . && git commit -qm hosts && git push -q origin main && git fetch -q && echo 'admin = \"192.168.0.3\"' > hosts/b.vars.hcl")
	if out, ok := r.run("make check HOSTS=hosts"); ok || !strings.Contains(out, "build/b/iptables would change") || strings.Contains(out, "build/a/") {
		t.Errorf("a host that was not compiled:\n%s", out)
	}
	if out, ok := r.run("make diff HOSTS=hosts"); ok || !strings.Contains(out, "It changes for 1 of 2 hosts.") || !strings.Contains(out, "+ 192.168.0.3 → policy admin: tcp port 8080") {
		t.Errorf("the change:\n%s", out)
	}
}

func TestPullRequestForHosts(t *testing.T) {
	r := newRepository(t)
	r.env = append(r.env, "HOSTS=hosts")
	steps := workflowSteps(t)
	r.hosts()
	r.must("rm -r build && seawall compile policies --hosts hosts --out-dir build && git add . && git commit -qm hosts && git push -q origin main && git fetch -q")
	r.must("git checkout -qb change && echo 'admin = \"192.168.0.3\"' > hosts/b.vars.hcl")
	if out, ok := r.run(steps["Check"]); ok || !strings.Contains(out, "build/b/iptables would change") {
		t.Errorf("a host that was not compiled:\n%s", out)
	}
	r.must("seawall compile policies --hosts hosts --out-dir build && git commit -qam change")
	r.must(steps["Check"])
	r.must(steps["Diff"])
	if got := r.must("cat comment.md"); !strings.Contains(got, "### Seawall: It changes for 1 of 2 hosts.") || !strings.Contains(got, "| 1 | 🟢 opened | `192.168.0.3` | policy admin: tcp port 8080 |") {
		t.Errorf("the comment:\n%s", got)
	}
}

func TestPreCommitHook(t *testing.T) {
	r := newRepository(t)
	hook, err := os.ReadFile("ci/pre-commit")
	if err != nil {
		t.Fatal(err)
	}
	r.write(".git/hooks/pre-commit", string(hook))
	r.must("chmod +x .git/hooks/pre-commit")
	r.policy("192.168.0.2")
	if out, ok := r.run("git commit -qam second"); ok || !strings.Contains(out, "The compiled files are out of date") {
		t.Errorf("a policy that was not compiled:\n%s", out)
	}
	out := r.must("make build && git add . && git commit -m second")
	if !strings.Contains(out, "+ 192.168.0.2 → policy admin: tcp port 8080") || !strings.Contains(out, "- 192.168.0.1 → policy admin: tcp port 8080") {
		t.Errorf("the change in meaning is not said:\n%s", out)
	}
	r.policy("192.168.0.300")
	if out, ok := r.run("git commit -qam third"); ok || !strings.Contains(out, "policies/policy.hcl") {
		t.Errorf("a policy with a mistake:\n%s", out)
	}
	r.must("git checkout -q . && touch README && git add README && git commit -qm other")
}

// The steps of the workflow that are Seawall's own, as they stand in the file.
func TestPullRequestWorkflow(t *testing.T) {
	steps := workflowSteps(t)
	r := newRepository(t)
	r.must("git checkout -qb change")
	r.must(steps["Check"])
	r.must(steps["Diff"])
	if got := r.must("cat comment.md"); !strings.Contains(got, "The meaning is the same") {
		t.Errorf("nothing changed:\n%s", got)
	}
	r.policy("192.168.0.2")
	r.must("make build && git commit -qam change")
	r.must(steps["Check"])
	r.must(steps["Diff"])
	if got := r.must("cat comment.md"); !strings.Contains(got, "| 🟢 opened | `192.168.0.2` | policy admin: tcp port 8080 |") {
		t.Errorf("the comment:\n%s", got)
	}
	r.policy("192.168.0.300")
	out, ok := r.run(steps["Check"])
	if ok || !strings.Contains(out, "::error file=policies/policy.hcl,line=8") {
		t.Errorf("a mistake:\n%s", out)
	}
	if out, ok := r.run(steps["Diff"]); ok {
		t.Errorf("a diff of a policy with a mistake:\n%s", out)
	}
}

// The units are ones that systemd understands, with no cycle in their order.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs systemd-analyze, and CI must have it")
		}
		t.Skip("this test needs systemd-analyze")
	}
	dir := t.TempDir()
	unit, err := os.ReadFile("systemd/seawall.service")
	if err != nil {
		t.Fatal(err)
	}
	dropIn, err := os.ReadFile("systemd/docker.service.d/seawall.conf")
	if err != nil {
		t.Fatal(err)
	}
	watch, err := os.ReadFile("systemd/seawall-watch.service")
	if err != nil {
		t.Fatal(err)
	}
	// What is not installed here: the program, the script, the manual, and other units.
	here := strings.NewReplacer("/etc/seawall/seawall.sh", "/bin/true", "/usr/bin/seawall", "/bin/true", "Documentation=man:seawall(1)\n", "", "Documentation=man:seawall-watch(1)\n", "")
	stub := "[Unit]\nDescription=%\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
	files := map[string]string{"seawall-watch.service": here.Replace(string(watch)), "seawall.service": here.Replace(string(unit)), "docker.service.d/seawall.conf": here.Replace(string(dropIn)),
		"docker.service": "[Unit]\nDescription=Docker\nAfter=network-online.target\n[Service]\nExecStart=/bin/true\n"}
	for _, name := range []string{"iptables", "ip6tables", "netfilter-persistent"} {
		files[name+".service"] = strings.ReplaceAll(stub, "%", name) + "\n"
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, "seawall.service"), filepath.Join(dir, "seawall-watch.service"), filepath.Join(dir, "docker.service"))
	c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// workflowSteps are the steps of the workflow, by name.
func workflowSteps(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("ci/pull-request.yml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	steps := map[string]string{}
	for _, s := range workflow.Jobs["policy"].Steps {
		steps[s.Name] = s.Run
	}
	return steps
}
