package playground

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var screenshots = flag.String("screenshots", "", "write pictures of the page to this folder")

// longest is how long the page may take for anything, on a machine that does much else.
const longest = 60 * time.Second

// browser is Chromium, and the playground that it is served.
type browser struct {
	t       *testing.T
	context context.Context
	url     string

	lock    sync.Mutex
	fetched []string
}

func open(t *testing.T) *browser {
	t.Helper()
	chromium := needs(t, "chromium")
	b := &browser{t: t}
	dir := site(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.lock.Lock()
		b.fetched = append(b.fetched, r.Method+" "+r.URL.String())
		b.lock.Unlock()
		http.FileServerFS(os.DirFS(dir)).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	all, cancelAll := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(cancelAll)
	var cancel context.CancelFunc
	b.context, cancel = chromedp.NewContext(all)
	t.Cleanup(cancel)
	b.start()
	return b
}

// tab is another tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	other := &browser{t: b.t, url: b.url}
	var cancel context.CancelFunc
	other.context, cancel = chromedp.NewContext(b.context)
	b.t.Cleanup(cancel)
	other.start()
	return other
}

// start starts the browser, or the tab, which live as long as the context of their first action.
func (b *browser) start() {
	b.t.Helper()
	if err := chromedp.Do(b.context); err != nil {
		b.t.Fatal(err)
	}
	b.size(1280, 900, "light")
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `window.wrong = [];
			addEventListener("securitypolicyviolation", e => wrong.push(e.violatedDirective + " " + e.blockedURI));
			addEventListener("error", e => wrong.push(e.message));
			addEventListener("unhandledrejection", e => wrong.push(String(e.reason)));`})
		return err
	}))
}

// action is something that is done in the browser.
type action = chromedp.Action[chromedp.Void]

func (b *browser) do(actions ...action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.context, longest)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// js evaluates JavaScript whose value does not matter.
func js(expression string) action { return chromedp.Evaluate[chromedp.Void](expression) }

// value is the value of an expression of JavaScript, or of what it promises.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.context, longest)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func focus(id string) action { return chromedp.Focus(chromedp.CSS("#" + id)) }

func (b *browser) size(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// visit opens the page, with a fragment, and waits for its first answer.
func (b *browser) visit(fragment string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/"+fragment))
	b.until("the first answer", `/^(Valid|\d+ mistake)/.test(document.getElementById("status").textContent)`)
}

// until waits until an expression of JavaScript is true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if value[bool](b, "Boolean("+expression+")") {
			return
		}
		if time.Since(start) > longest {
			b.picture("failed")
			b.t.Fatalf("%s did not come; the status is %q, the alert %q", what, b.text("#status"), b.text("#alert"))
		}
	}
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}

func (b *browser) entered(selector string) string {
	b.t.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(%q).value", selector))
}

// typed replaces the text of the editor by typing.
func (b *browser) typed(text string) {
	b.t.Helper()
	b.do(focus("text"), js(`document.getElementById("text").select()`), chromedp.KeyEvent(kb.Delete))
	for line := range strings.Lines(text) { // the editor indents a new line itself
		b.do(chromedp.KeyEvent(strings.TrimSuffix(line, "\n")))
		if strings.HasSuffix(line, "\n") {
			b.do(chromedp.KeyEvent(kb.Enter))
		}
	}
}

// replaced types over a part of the text.
func (b *browser) replaced(old, fresh string) {
	b.t.Helper()
	b.do(focus("text"), js(fmt.Sprintf(`(() => { const t = document.getElementById("text"), at = t.value.indexOf(%q);
		t.setSelectionRange(at, at + %d); })()`, old, len(old))), chromedp.KeyEvent(fresh))
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// picture is a screenshot, where a folder for them was named.
func (b *browser) picture(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(b.context, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// wrong has a mistake in its third line, which right has not.
const (
	wrong = "host {\nexternal = [\"eth0\"]\nunlisted = \"denny\"\n}\npolicy \"web\" {\nports = [80, 443]\nallow { sources = any }\n}\n"
	right = "\"deny\""
)

// Typing a policy: its mistake has a line, and once it is gone there are the files of the
// command, the way of a packet, and what a change means.
func TestTyping(t *testing.T) {
	b := open(t)
	b.visit("")
	b.typed(wrong)
	b.until("the mistake", `document.querySelector("#finding-list .place")?.textContent === "policy.hcl:3:14"`)
	if marked := b.text("#numbers .error"); marked != "3" {
		t.Errorf("line %q is marked", marked)
	}
	b.picture("mistake")
	b.click("#finding-list .place")
	if chosen := value[string](b, `(() => { const t = document.getElementById("text"); return t.value.slice(t.selectionStart, t.selectionEnd) })()`); chosen != `"denny"` {
		t.Errorf("the place of the mistake is %q", chosen)
	}
	b.do(chromedp.KeyEvent(right))
	b.until("the files", `document.querySelector("#file-list pre")`)
	policy := b.entered("#text")
	if policy != "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"web\" {\n  ports = [80, 443]\n  allow { sources = any }\n}\n" {
		t.Errorf("the editor has\n%s", policy)
	}
	for _, format := range []string{"sysconfig", "shell"} {
		b.sameFiles(policy, format)
	}
	b.click("#tab-files")
	b.picture("files")
	b.click("#tab-reach")
	b.until("who reaches what", `document.getElementById("page").contentDocument?.querySelector("#glance + table td")?.textContent === "80/tcp, 443/tcp"`)
	if width := value[string](b, `getComputedStyle(document.getElementById("page").contentDocument.body).maxWidth`); width != "1056px" {
		t.Errorf("the style of the rendered page does not apply: it may be %s wide", width)
	}
	b.explains(policy)
	b.compares(policy)
	b.onlyItsOwnFiles()
}

// sameFiles compares the files on the page with those of the command.
func (b *browser) sameFiles(policy, format string) {
	b.t.Helper()
	dir := b.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "policy.hcl"), []byte(policy), 0o600); err != nil {
		b.t.Fatal(err)
	}
	c := exec.Command(command(b.t), "compile", "policy.hcl", "--format", format, "--out-dir", "out")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	b.do(js(fmt.Sprintf(`(() => { const f = document.getElementById("format"); f.value = %q; f.dispatchEvent(new Event("change")) })()`, format)))
	files, err := os.ReadDir(filepath.Join(dir, "out"))
	if err != nil || len(files) == 0 {
		b.t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, "out", f.Name()))
		if err != nil {
			b.t.Fatal(err)
		}
		want[f.Name()] = string(text)
	}
	shown := `[...document.querySelectorAll("#file-list .file")].map(f => [f.querySelector("h3").textContent, f.querySelector("pre").textContent])`
	b.until("the files of "+format, fmt.Sprintf("%s.map(f => f[0]).sort().join() === %q", shown, strings.Join(slices.Sorted(maps.Keys(want)), ",")))
	if got := value[map[string]string](b, "Object.fromEntries("+shown+")"); !maps.Equal(got, want) {
		b.t.Errorf("the page has\n%s\nthe command writes\n%s", got, want)
	}
}

func (b *browser) explains(policy string) {
	b.t.Helper()
	b.click("#tab-explain")
	b.do(focus("from"), chromedp.KeyEvent("192.0.2.7"), focus("to"), chromedp.KeyEvent("443"))
	b.until("the explanation", `document.getElementById("explain-text").textContent.includes("The compiled rules say")`)
	c := exec.Command("/bin/sh", "-c", strings.Replace(b.text("#command"), "seawall explain .", command(b.t)+" explain -", 1))
	c.Stdin = strings.NewReader(policy)
	want, err := c.Output()
	if err != nil {
		b.t.Fatal(err)
	}
	if got := b.text("#explain-text"); got != strings.ReplaceAll(string(want), "stdin", "policy.hcl") {
		b.t.Errorf("the page explains\n%s\nthe command\n%s", got, want)
	}
	b.picture("explain")
}

func (b *browser) compares(policy string) {
	b.t.Helper()
	b.click("#tab-diff")
	b.click("#pin")
	b.replaced("443", "443, 9000")
	b.until("the change", `document.getElementById("diff-text").textContent.includes("everybody can now reach policy web: tcp port 9000")`)
	b.picture("diff")
	var dirs [2]string
	for i, text := range []string{policy, b.entered("#text")} {
		dirs[i] = filepath.Join(b.t.TempDir(), "policy.hcl")
		if err := os.WriteFile(dirs[i], []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	want, _ := exec.Command(command(b.t), "diff", dirs[0], dirs[1], "--files", "shell").Output() // it exits with 2
	if got := b.text("#diff-text"); got != string(want)+"\n" {
		b.t.Errorf("the page says\n%s\nthe command\n%s", got, want)
	}
	b.click("#unpin")
	b.until("no comparison", `document.getElementById("diff-text").hidden`)
}

// onlyItsOwnFiles holds what was fetched against the folder: nothing else, and nothing twice.
func (b *browser) onlyItsOwnFiles() {
	b.t.Helper()
	for _, wrong := range value[[]string](b, "window.wrong.concat()") {
		b.t.Errorf("the page has an error: %s", wrong)
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	for _, f := range b.fetched {
		name := strings.TrimPrefix(f, "GET /")
		if _, err := os.Stat(filepath.Join(site(b.t), name)); err != nil || strings.Contains(name, "?") {
			b.t.Errorf("the page asked for %q", f)
		}
	}
	for _, name := range value[[]string](b, `performance.getEntriesByType("resource").map(e => e.name)`) {
		if !strings.HasPrefix(name, b.url) {
			b.t.Errorf("the page loaded %s", name)
		}
	}
}

// The page may ask nobody but its own server, even if a script of it wanted to.
func TestMayAskNobodyElse(t *testing.T) {
	b := open(t)
	b.visit("")
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}))
	got := value[string](b, fmt.Sprintf(`fetch(%q).then(() => "fetched", () => "refused")`, other.URL))
	other.Close()
	if got != "refused" || asked || len(value[[]string](b, "window.wrong.concat()")) == 0 {
		t.Errorf("a request to another server was %s, and it came there: %v", got, asked)
	}
}

// Every example of the menu opens, and the policy that it takes the place of comes back.
func TestExamples(t *testing.T) {
	b := open(t)
	b.visit("")
	b.typed("host {\nexternal = [\"eth7\"]\nunlisted = \"deny\"\n}\n")
	choose := func(id, name string) {
		b.do(js(fmt.Sprintf(`(() => { const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event("change")) })()`, id, name)))
	}
	names := value[[]string](b, `[...document.getElementById("example").options].map(o => o.value).filter(Boolean)`)
	if len(names) < 8 {
		t.Fatalf("the menu has %q", names)
	}
	for _, name := range names {
		src, err := os.ReadFile("../" + name + "/policy.hcl")
		if err != nil {
			t.Fatal(err)
		}
		choose("example", name)
		b.until(name, `document.getElementById("status").textContent.startsWith("Valid and proved")`)
		if got := b.entered("#text"); got != string(src) {
			t.Errorf("%s is\n%s", name, got)
		}
	}
	choose("example", "fleet")
	choose("var-file", "web1.vars.hcl")
	choose("format", "restore")
	want, err := os.ReadFile("../fleet/compiled/web1/rules.v4")
	if err != nil {
		t.Fatal(err)
	}
	b.until("the files of web1", fmt.Sprintf(`document.querySelector("#file-list pre")?.textContent === %s`, quoted(string(want))))
	b.picture("fleet")
	b.typed("x")
	choose("example", "web")
	b.click("#undo")
	b.until("what was there", `document.getElementById("text").value === "x"`)
}

// A link brings the same policy to another page; one that is damaged says so.
func TestLinks(t *testing.T) {
	b := open(t)
	b.visit("")
	b.typed("# Größe: ∞ 😀\nhost {\nexternal = [\"eth1\"]\nunlisted = \"reject\"\n}\n")
	b.click("#tab-share")
	b.until("the link", `document.getElementById("link").value.length > 100 && location.hash.length > 100 && document.getElementById("summary").textContent.includes("0 policies")`)
	b.picture("share")
	link, policy := b.entered("#link"), b.entered("#text")
	if !strings.Contains(policy, "∞ 😀") || !strings.HasPrefix(link, b.url+"/#p1.") {
		t.Fatalf("%q in %q", policy, link)
	}
	other := b.tab()
	fragment := link[strings.Index(link, "#"):]
	other.visit(fragment)
	if got := other.entered("#text"); got != policy {
		t.Errorf("the link opens\n%q\nwant\n%q", got, policy)
	}
	for _, damaged := range []string{"#policy", fragment[:len(fragment)/2], "#p1.!!", "#p1.AAAA", "#p1." + strings.Repeat("e", 99)} {
		other.visit(damaged)
		if got := other.text("#alert"); !strings.Contains(got, "this link") {
			t.Errorf("%.20q: the page says %q", damaged, got)
		}
		if other.entered("#text") == "" {
			t.Errorf("%.20q: there is no policy", damaged)
		}
	}
	other.picture("damaged")
	// The address of an open page is changed by hand.
	other.do(js(fmt.Sprintf("location.hash = %q", fragment)))
	other.until("the policy of the link", fmt.Sprintf("document.getElementById('text').value === %s && document.getElementById('alert').textContent === ''", quoted(policy)))
}

func quoted(text string) string {
	src, _ := json.Marshal(text) // a string has JSON
	return string(src)
}

// A policy that takes long does not keep what is typed after it waiting.
func TestHardPolicy(t *testing.T) {
	b := open(t)
	b.visit("")
	hard := "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"p\" {\n  ports = [80]\n" +
		"  allow { sources = flatten([for a in range(200) : [for b in range(256) : [for c in range(4) : \"10.${a}.${b}.${c * 2 + 1}\"]]]) }\n}\n"
	b.do(js(fmt.Sprintf(`(() => { const t = document.getElementById("text"); t.value = %s; t.dispatchEvent(new InputEvent("input")) })()`, quoted(hard))))
	b.until("word of it", `document.getElementById("status").textContent.startsWith("Still working")`)
	if !value[bool](b, `document.getElementById("results").matches(".stale[aria-busy=true]")`) {
		t.Error("what is shown does not say that it is about the policy before")
	}
	b.picture("working")
	start := time.Now()
	b.typed(strings.Replace(wrong, "denny", "deny", 1))
	b.until("the answer", `document.getElementById("status").textContent.startsWith("Valid")`)
	if value[bool](b, `document.getElementById("results").matches(".stale, [aria-busy=true]")`) {
		t.Error("the answer is shown as one about the policy before")
	}
	t.Logf("answered %v after the first key", time.Since(start).Round(time.Millisecond))
}

// The keyboard reaches everything: Tab indents in the editor, and Escape lets it out.
func TestKeyboard(t *testing.T) {
	b := open(t)
	b.visit("")
	active := func() string {
		return value[string](b, "document.activeElement.id")
	}
	b.do(focus("text"), js(`document.getElementById("text").setSelectionRange(0, 0)`), chromedp.KeyEvent(kb.Tab))
	if got := b.entered("#text"); !strings.HasPrefix(got, "  #") || active() != "text" {
		t.Errorf("after Tab, %q has the focus, and the text is %.20q", active(), got)
	}
	b.do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent(kb.Tab))
	if active() == "text" {
		t.Error("Escape and Tab do not leave the editor")
	}
	b.do(focus("tab-findings"), chromedp.KeyEvent(kb.ArrowRight))
	if active() != "tab-files" {
		t.Errorf("the arrow leads to %q", active())
	}
	b.do(chromedp.KeyEvent(kb.End))
	if active() != "tab-share" {
		t.Errorf("End leads to %q", active())
	}
	b.do(focus("add"), chromedp.KeyEvent(kb.Enter))
	if active() != "new-name" {
		t.Errorf("Add a file leads to %q", active())
	}
	b.do(chromedp.KeyEvent("office.txt"), chromedp.KeyEvent(kb.Enter))
	if active() != "text" || b.text("#file-tabs [aria-selected=true]") != "office.txt" {
		t.Errorf("after adding a file, %q has the focus", active())
	}
	b.typed("192.0.2.0/24\n")
	b.click("#file-tabs [role=tab]")
	b.typed("host {\nexternal = [\"eth0\"]\nunlisted = \"deny\"\n}\nset \"office\" {\nfiles = [\"office.txt\"]\n}\npolicy \"web\" {\nports = [443]\nallow { sources = [set.office] }\n}\n")
	b.until("the list's address", `document.getElementById("file-list").textContent.includes("-s 192.0.2.0/24")`)
}

// Every pane, on a phone and on a desktop, in light and in dark: nothing is wider than the
// window, and axe-core has nothing to say.
func TestLooks(t *testing.T) {
	axe := os.Getenv("AXE_CORE")
	if axe == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs axe-core (AXE_CORE is the path of its axe.min.js), and CI must have it")
		}
		t.Skip("this test needs axe-core (AXE_CORE is the path of its axe.min.js)")
	}
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t)
	b.visit("")
	b.do(js(string(script)))
	b.do(focus("text"), js(`(() => {
		for (const [id, text] of [["from", "10.8.13.5"], ["to", "443"]]) { const e = document.getElementById(id); e.value = text; e.dispatchEvent(new Event("input")); }
		document.getElementById("pin").click();
	})()`))
	b.replaced("443", "443, 9000")
	b.replaced("}", "}\nset \"nobody\" { sources = [\"192.0.2.1\"] }\n")
	b.until("all", `document.getElementById("diff-text").textContent.includes("9000") && document.querySelector("#finding-list li") && document.getElementById("explain-text").textContent`)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1280} {
			b.size(width, 900, scheme)
			for _, tab := range []string{"findings", "files", "reach", "explain", "diff", "share"} {
				b.click("#tab-" + tab)
				b.looks(fmt.Sprintf("%s-%s-%d", tab, scheme, width), width)
			}
		}
	}
}

func (b *browser) looks(where string, width int64) {
	b.t.Helper()
	b.picture(where)
	found := value[struct {
		Width      int64
		Violations []string
	}](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => ({Width: document.documentElement.scrollWidth,
		Violations: r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" "))}))`)
	if found.Width > width {
		b.t.Errorf("%s: the page is %d wide", where, found.Width)
	}
	for _, v := range found.Violations {
		b.t.Errorf("%s: %.900s", where, v)
	}
}
