package examples

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A site is opened from its folder, without a server: every page is clean for axe-core on a
// phone and a desktop, in light and dark, every link leads somewhere, and the search finds
// names, ports and addresses.
func TestSite(t *testing.T) {
	t.Parallel()
	needs(t, "chromium")
	axe := os.Getenv("AXE_CORE")
	if axe == "" {
		missing(t, "this test needs axe-core (AXE_CORE is the path of its axe.min.js)")
	}
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command(program(t), "docs", "site", dir, "mail").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all, cancelAll := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(cancelAll)
	tab, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(tab, 3*time.Minute)
	t.Cleanup(stop)
	pages, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(pages) < 3 {
		t.Fatalf("%v: %v", err, pages)
	}
	for _, page := range pages {
		if err := chromedp.Do(ctx, chromedp.Navigate("file://"+page), chromedp.Evaluate[chromedp.Void](string(script))); err != nil {
			t.Fatal(err)
		}
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				where := fmt.Sprintf("%s, %s, %d", filepath.Base(page), scheme, width)
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
					_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
					return err
				})); err != nil {
					t.Fatal(err)
				}
				for _, wrong := range evaluate[[]string](ctx, t, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.nodes[0].html))`) {
					t.Errorf("%s: %s", where, wrong)
				}
				if got := evaluate[int64](ctx, t, `document.documentElement.scrollWidth`); got > width {
					t.Errorf("%s: the page is %d wide", where, got)
				}
			}
		}
		for _, href := range evaluate[[]string](ctx, t, `[...document.links].map(a => a.getAttribute("href"))`) {
			file, _, _ := cutHash(href)
			if file == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
				t.Errorf("%s: %s leads nowhere", filepath.Base(page), href)
			}
		}
	}
	search := func(text string) []string {
		t.Helper()
		if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("#search input").value = ""`), chromedp.Focus(chromedp.CSS("#search input")), chromedp.KeyEvent(text)); err != nil {
			t.Fatal(err)
		}
		return evaluate[[]string](ctx, t, `[...document.querySelectorAll("#search li a")].map(a => a.textContent)`)
	}
	for text, want := range searches {
		if got := search(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q; the status is %q", text, got, want, evaluate[string](ctx, t, `document.querySelector("#search [role=status]").textContent`))
		}
	}
}

// cutHash is the file and the fragment of a link.
func cutHash(href string) (file, fragment string, found bool) {
	for i := range href {
		if href[i] == '#' {
			return href[:i], href[i+1:], true
		}
	}
	return href, "", false
}

func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// searches are what somebody types, and whom it finds in the policy of the mail host.
var searches = map[string][]string{
	"587":                  {"mailboxes"},
	"25":                   {"smtp"},
	"SMTP":                 {"smtp"},
	"monitoring":           {"statistics"},
	"8.8.8.8":              {"smtp", "mailboxes"},
	"203.0.113.7":          {"blocked"},
	"203.0.113.25":         {"smtp", "mailboxes"}, // the relay
	"198.51.100.130":       {"blocked"},
	"192.0.2.10":           {"smtp", "mailboxes", "statistics"},
	"2001:db8:bad::1":      {"blocked"},
	"2001:db8:10::10 9154": {"statistics"},
	"999.1.1.1":            {},
	"1::2::3":              {},
	"no such thing":        {},
}
