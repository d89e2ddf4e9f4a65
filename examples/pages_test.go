package examples

import (
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// probe is what a page is asked in the browser: whether it is wider than the
// window, how small its smallest text is on the screen, what it loads, and what
// axe-core finds. It runs in a frame, for no window is as narrow as a phone, and
// tells the document around it.
const probe = `<script>window.addEventListener("load", async () => {
  const out = {width: innerWidth, scroll: document.documentElement.scrollWidth, smallest: 99, loaded: [], violations: []};
  for (const e of performance.getEntriesByType("resource")) out.loaded.push(e.name);
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || ["SCRIPT", "STYLE", "title"].includes(e.tagName)) continue;
    let size = parseFloat(getComputedStyle(e).fontSize);
    if (e.ownerSVGElement) size *= e.ownerSVGElement.getScreenCTM().a;
    out.smallest = Math.min(out.smallest, size);
  }
  const found = await axe.run(document, {resultTypes: ["violations"]});
  for (const v of found.violations) out.violations.push(v.id + ": " + v.nodes.map(n => n.html).join(" "));
  parent.postMessage([decodeURIComponent(location.hash.slice(1)), out], "*");
})</script>`

// frames shows a page in four frames and collects what each says.
const frames = `<!DOCTYPE html><pre id="answer"></pre><script>
const all = {};
addEventListener("message", e => {
  all[e.data[0]] = e.data[1];
  if (Object.keys(all).length == 4) document.getElementById("answer").textContent = JSON.stringify(all);
});
for (const scheme of ["light", "dark"]) for (const width of [390, 1200]) {
  const f = document.createElement("iframe");
  f.style = "border:0;height:900px;width:" + width + "px";
  f.src = scheme + ".html#" + scheme + " at " + width;
  document.body.append(f);
}
</script>`

type answer struct {
	Width, Scroll int
	Smallest      float64
	Loaded        []string
	Violations    []string
}

// Every page, on a phone and on a desktop, in light and in dark: nothing is cut
// off, no text is too small to read, nothing is loaded from anywhere, and
// axe-core has nothing to say.
func TestPagesInABrowser(t *testing.T) {
	chromium, axe := browser(t)
	pages, err := filepath.Glob("*/rendered*.html")
	if err != nil || len(pages) < 9 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	dir := t.TempDir()
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatal(err)
	}
	for n, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`(?i)<(link|img|iframe)|url\(|@import|\ssrc=|\shref="[^#]`).Find(text); found != nil {
			t.Errorf("%s has %q: it must need nothing but itself", page, found)
		}
		src := strings.Replace(string(text), "</body>", "<script>"+string(script)+"</script>"+probe+"</body>", 1)
		folder := filepath.Join(dir, fmt.Sprint(n))
		// Headless Chromium prefers light.
		for name, src := range map[string]string{"light.html": src, "index.html": frames,
			"dark.html": strings.ReplaceAll(src, "(prefers-color-scheme: dark)", "all")} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name), []byte(src), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for where, a := range ask(t, chromium, folder) {
			where = page + ", " + where
			if !strings.HasSuffix(where, fmt.Sprint(a.Width)) {
				t.Fatalf("%s: the frame is %d wide", where, a.Width)
			}
			if a.Scroll > a.Width {
				t.Errorf("%s: the page is %d wide", where, a.Scroll)
			}
			if a.Smallest < 11 {
				t.Errorf("%s: some text is only %.1f pixels high", where, a.Smallest)
			}
			if len(a.Loaded) > 0 {
				t.Errorf("%s loads %v", where, a.Loaded)
			}
			for _, v := range a.Violations {
				t.Errorf("%s: %s", where, v)
			}
		}
	}
}

// browser finds Chromium and axe-core; AXE_CORE names the latter's file.
func browser(t *testing.T) (chromium, axe string) {
	t.Helper()
	missing := ""
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		missing = "chromium"
	}
	if axe = os.Getenv("AXE_CORE"); axe == "" {
		missing = "axe-core (AXE_CORE is the path of its axe.min.js)"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs %s, and CI must have it", missing)
	default:
		t.Skipf("this test needs %s", missing)
	}
	return chromium, axe
}

var answerText = regexp.MustCompile(`(?s)<pre id="answer">(.*?)</pre>`)

// ask opens the frames of a folder, and gives what each of the four says.
func ask(t *testing.T, chromium, folder string) map[string]answer {
	t.Helper()
	out, err := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(folder, "profile"),
		"--window-size=1300,900", "--virtual-time-budget=60000", "--dump-dom", "file://"+filepath.Join(folder, "index.html")).Output()
	if err != nil {
		t.Fatal(err)
	}
	found := answerText.FindSubmatch(out)
	if found == nil || len(found[1]) == 0 {
		t.Fatalf("%s: the browser gave no answer:\n%.2000s", folder, out)
	}
	var all map[string]answer
	if err := json.Unmarshal([]byte(html.UnescapeString(string(found[1]))), &all); err != nil {
		t.Fatal(err)
	}
	return all
}
