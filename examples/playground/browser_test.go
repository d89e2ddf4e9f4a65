package playground

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
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
	missing string // a file that the server does not have
}

func open(t *testing.T) *browser {
	t.Helper()
	chromium := needs(t, "chromium")
	b := &browser{t: t}
	dir := site(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.lock.Lock()
		b.fetched = append(b.fetched, r.Method+" "+r.URL.String())
		gone := b.missing != "" && r.URL.Path == "/"+b.missing
		b.lock.Unlock()
		w.Header().Set("Cache-Control", "no-store")
		if gone {
			http.NotFound(w, r)
			return
		}
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
	script := axe(t)
	b := open(t)
	b.visit("")
	b.do(js(script))
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

// axe is axe-core.
func axe(t *testing.T) string {
	t.Helper()
	path := os.Getenv("AXE_CORE")
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs axe-core (AXE_CORE is the path of its axe.min.js), and CI must have it")
		}
		t.Skip("this test needs axe-core (AXE_CORE is the path of its axe.min.js)")
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// On a phone, the words about a policy that the address does not hold, and about a part of a file.
func TestLooksWhereThereIsMuch(t *testing.T) {
	script := axe(t)
	b := open(t)
	b.visit("")
	b.do(js(script))
	b.pasted(long(22) + strings.Repeat("# more\n", 30_000))
	b.until("the words", `document.getElementById("kept").textContent && !document.getElementById("parts").hidden`)
	b.answers()
	for _, scheme := range []string{"light", "dark"} {
		b.size(390, 900, scheme)
		b.looks("much-"+scheme, 390)
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

// linked is a state as a link.
func linked(t *testing.T, state any) string {
	t.Helper()
	src, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(src)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return "#p1." + base64.RawURLEncoding.EncodeToString(b.Bytes())
}

// open80 is a policy for one port, with what follows.
func open80(more string) map[string]any {
	return map[string]any{"files": map[string]string{"policy.hcl": strings.Replace(strings.Replace(wrong, "denny", "deny", 1), "80, 443", "80", 1) + more}}
}

// pasted replaces the text of the editor at once.
func (b *browser) pasted(text string) {
	b.t.Helper()
	b.do(js(fmt.Sprintf(`(() => { const t = document.getElementById("text"); t.value = %s; t.dispatchEvent(new InputEvent("input")) })()`, quoted(text))))
}

// answers waits until what is shown is about the text.
func (b *browser) answers() {
	b.t.Helper()
	b.until("the answer", `/^(Valid|\d+ mistake)/.test(document.getElementById("status").textContent)`)
}

// A link on the page of who reaches what leads to its place there.
func TestLinksOfThePage(t *testing.T) {
	b := open(t)
	b.size(1280, 400, "light")
	b.visit(linked(t, open80("")))
	b.click("#tab-reach")
	b.until("the page", `document.getElementById("page").contentDocument?.querySelector("th a")`)
	at := value[[]float64](b, `(() => {
		const frame = document.getElementById("page"), link = frame.contentDocument.querySelector("th a");
		scrollTo(0, 0);
		link.scrollIntoView();
		frame.scrollIntoView();
		const f = frame.getBoundingClientRect(), l = link.getBoundingClientRect();
		return [f.left + l.left + 5, f.top + l.top + 5];
	})()`)
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	b.until("the place", `document.getElementById("page").contentDocument?.URL === "about:srcdoc#policy-web"`)
	if y := value[float64](b, `document.getElementById("page").contentDocument.getElementById("policy-web").getBoundingClientRect().top`); y < -1 || y > 200 {
		t.Errorf("the place is at %v", y)
	}
	b.onlyItsOwnFiles()
}

// long is a policy that is too long for an address, as it does not shrink.
func long(port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host {\n  external = [\"eth0\"]\n  unlisted = \"deny\"\n}\npolicy \"p\" {\n  ports = [%d]\n  allow { sources = any }\n}\n", port)
	sum := sha256.Sum256(nil)
	for range 600 {
		fmt.Fprintf(&b, "# %x\n", sum)
		sum = sha256.Sum256(sum[:])
	}
	return b.String()
}

// What the address cannot hold is kept by the tab, and the page says so. A link that is opened
// over it gives it back, with what was typed since.
func TestLongPolicies(t *testing.T) {
	b := open(t)
	b.visit(linked(t, open80("# short\n")))
	b.pasted(long(22))
	b.until("word of the tab", `document.getElementById("kept").textContent.includes("The address does not hold this policy: it is too long.")`)
	if hash := value[string](b, "location.hash"); hash != "" {
		t.Errorf("the address holds %.40q", hash)
	}
	b.do(chromedp.Reload())
	b.until("the policy after a reload", fmt.Sprintf("document.getElementById('text').value === %s", quoted(long(22))))
	b.answers()
	fragment := linked(t, open80("# another\n"))
	b.do(js(fmt.Sprintf("location.hash = %q", fragment)))
	b.until("the link", `document.getElementById("text").value.includes("# another") && document.getElementById("kept").textContent === "" && !document.getElementById("undo").hidden`)
	b.do(js("history.back()"))
	b.until("the way back", `document.getElementById("text").value.includes("[22]")`)
	b.do(js("history.forward()"))
	b.until("the link again", `document.getElementById("text").value.includes("# another")`)
	b.replaced("# another", "# typed later")
	b.click("#undo")
	b.until("what was there", `document.getElementById("text").value.includes("[22]")`)
	for n := 0; !strings.Contains(b.entered("#text"), "# typed later"); n++ {
		if n == 5 {
			t.Fatal("what was typed later is lost")
		}
		b.click("#undo")
	}
	b.onlyItsOwnFiles()
}

// The text of a link is the editor's, whatever its lines end with; one without measure is refused.
func TestTextsOfLinks(t *testing.T) {
	b := open(t)
	b.visit(linked(t, open80(strings.ReplaceAll("set \"unused\" {\n  sources = [\"192.0.2.1\"]\n}\n", "\n", "\r\n"))))
	b.click("#finding-list .place")
	if got := value[string](b, `(t => t.value.slice(t.selectionStart, t.selectionEnd))(document.getElementById("text"))`); got != `set "unused"` {
		t.Errorf("the place of the finding is %q", got)
	}
	for _, text := range []string{strings.Repeat("\n", 2_000_000), strings.Repeat("# a comment of some length\n", 100_000)} {
		start := time.Now()
		b.visit(linked(t, map[string]any{"files": map[string]string{"policy.hcl": text}}))
		if got := b.text("#alert"); !strings.Contains(got, "2 MiB") || !strings.Contains(got, "200,000 lines") {
			t.Errorf("the alert is %q", got)
		}
		t.Logf("refused within %v", time.Since(start).Round(time.Millisecond))
	}
	b.pasted(wrong)
	if got := b.text("#alert"); got != "" {
		t.Errorf("after a change, the alert is %q", got)
	}
	if got := b.text("#status"); got != "Checking…" || !value[bool](b, `document.getElementById("results").matches(".stale[aria-busy=true]")`) {
		t.Errorf("after a change, the status is %q", got)
	}
	b.answers()
	for _, name := range []string{"toString", "__proto__"} {
		b.click("#add")
		b.do(focus("new-name"), chromedp.KeyEvent(name), chromedp.KeyEvent(kb.Enter))
		b.pasted("192.0.2.1\n")
		b.click("#tab-share")
		b.until("the link", fmt.Sprintf(`document.querySelector("#file-tabs [aria-selected=true]").textContent === %q && document.getElementById("status").textContent.includes("mistake")`, name))
	}
	if link := b.entered("#link"); link == "" {
		t.Error("there is no link")
	}
	b.onlyItsOwnFiles()
}

// A list of many lines does not make typing slow, and its lines have the right numbers.
func TestManyLines(t *testing.T) {
	b := open(t)
	var list strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&list, "10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	state := open80("set \"l\" {\n  files = [\"l.txt\"]\n}\n")
	state["files"].(map[string]string)["l.txt"] = list.String()
	b.visit(linked(t, state))
	b.click("#file-tabs [role=tab]:last-child")
	b.do(focus("text"), js(`document.getElementById("text").setSelectionRange(0, 0);
		window.times = [];
		document.getElementById("text").addEventListener("keydown", () => { const start = performance.now(); setTimeout(() => times.push(performance.now() - start)) }, true)`))
	b.do(chromedp.KeyEvent("#######"))
	b.until("the keys", "times.length >= 7")
	times := value[[]float64](b, "times")
	slices.Sort(times)
	t.Logf("milliseconds of a key: %.0f", times)
	if times[len(times)/2] > 100 {
		t.Errorf("a key takes %.0f ms", times)
	}
	b.do(js(`document.getElementById("text").scrollTop = 1e9`))
	b.until("the last line", `document.querySelector("#numbers div").textContent.trimEnd().endsWith("\n10000")`)
	gap := value[float64](b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
		const numbers = document.querySelector("#numbers div").getBoundingClientRect(), text = document.getElementById("text");
		const below = text.scrollHeight - text.scrollTop - text.clientHeight + parseFloat(getComputedStyle(text).paddingBottom);
		done(text.getBoundingClientRect().top + text.clientHeight - below - numbers.bottom);
	})))`)
	if gap < -30 || gap > 30 {
		t.Errorf("the last number is %.0f pixels away from its line", gap)
	}
	b.click("#later")
	b.replaced("10.0.39.16\n", "wrong\n")
	b.until("the mistake", `document.querySelector("#finding-list .place")?.textContent.startsWith("l.txt:10001:")`)
	b.click("#earlier")
	b.click("#finding-list .place")
	if got := value[string](b, `(t => t.value.slice(t.selectionStart, t.selectionEnd))(document.getElementById("text")) + document.querySelector("#numbers b")?.textContent`); got != "wrong10001" || b.text("#part") != "Lines 10,001 to 20,000 of 100,001" {
		t.Errorf("the place of the mistake is %q in %s", got, b.text("#part"))
	}
	b.pasted(list.String()) // instead of the second part
	if got := b.text("#part"); !strings.HasSuffix(got, "of 190,002") || value[int](b, `document.getElementById("text").value.length`) > 200_000 {
		t.Errorf("after much is pasted, the editor shows %s", got)
	}
}

// A browser that cannot make links says so, and a compiler that does not start what helps.
func TestLacks(t *testing.T) {
	b := open(t)
	b.visit("")
	b.do(js("delete self.CompressionStream"))
	b.pasted(long(22))
	b.click("#tab-share")
	b.until("word of it", `document.getElementById("no-link").textContent === "This policy cannot be put into a link: this browser cannot make links." && document.getElementById("kept").textContent.includes("This tab keeps it")`)
	if hash := value[string](b, "location.hash"); hash != "" || b.entered("#link") != "" {
		t.Errorf("there is a link: %.40q", hash)
	}
	b.onlyItsOwnFiles()

	for missing, want := range map[string]string{"worker.js": "The compiler does not start. Reload the page to try again.", "data.js": "The playground could not be loaded. Reload the page to try again."} {
		b.lock.Lock()
		b.missing = missing
		b.lock.Unlock()
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/"))
		b.until("word of "+missing, fmt.Sprintf(`document.getElementById("status").textContent === %q`, want))
	}
}
