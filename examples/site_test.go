package examples

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	ctx := chromium(t)
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
	for text, want := range searches {
		if got := names(search(ctx, t, text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q; the status is %q", text, got, want, searchStatus(ctx, t))
		}
	}
}

// chromium is a tab of a browser.
func chromium(t *testing.T) context.Context {
	t.Helper()
	all, cancelAll := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(cancelAll)
	tab, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(tab, 3*time.Minute)
	t.Cleanup(stop)
	return ctx
}

// search is what a search finds: names, and what is said of them.
func search(ctx context.Context, t *testing.T, text string) [][2]string {
	t.Helper()
	return evaluate[[][2]string](ctx, t, fmt.Sprintf(`(() => { const input = document.querySelector("#search input"); input.value = %q; input.dispatchEvent(new Event("input"));
		return [...document.querySelectorAll("#search li")].map(l => [l.querySelector("a").textContent, l.querySelector("span").textContent]) })()`, text))
}

func searchStatus(ctx context.Context, t *testing.T) string {
	t.Helper()
	return evaluate[string](ctx, t, `document.querySelector("#search [role=status]").textContent`)
}

func names(found [][2]string) []string {
	list := []string{}
	for _, f := range found {
		list = append(list, f[0])
	}
	return list
}

// nested has narrower policies: for all of a port, and for an address, a family or an interface.
const nested = `host {
  external = ["eth0", "eth1"]
  unlisted = "deny"
}
policy "wide" {
  ports = ["8000-8010"]
  allow { sources = any }
}
policy "narrow" {
  ports = [8003]
  allow { sources = "10.0.0.1" }
}
policy "address" {
  ports   = [8004]
  address = ["203.0.113.7"]
  allow { sources = "10.0.0.1" }
}
policy "family" {
  ports   = [8005]
  address = ["::/0"]
  allow { sources = "2001:db8::1" }
}
policy "eth0-only" {
  ports    = [8006]
  external = "eth0"
  allow { sources = "10.0.0.1" }
}
policy "both" {
  ports    = [8007]
  external = "eth0"
  allow { sources = "10.0.0.1" }
}
policy "both-too" {
  ports    = [8007]
  external = "eth1"
  allow { sources = "10.0.0.2" }
}
policy "office" {
  description = "It was 8050 before"
  ports       = [9000]
  allow { sources = [set.office, "10.0.0.5-10.0.0.77"] }
}
set "office" { sources = ["198.51.100.0/24", "2001:db8:40::/48"] }
set "crowd" { ipset = "crowdsec:x" }
`

// A search for an address and a port finds the policies that explain says let it in, and says
// so where it is not everywhere.
func TestSiteSearchesAsExplained(t *testing.T) {
	t.Parallel()
	needs(t, "chromium")
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.hcl")
	if err := os.WriteFile(file, []byte(nested), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program(t), "docs", "site", filepath.Join(dir, "site"), file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx := chromium(t)
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+filepath.Join(dir, "site", "index.html"))); err != nil {
		t.Fatal(err)
	}
	const partly = "where a narrower policy does not decide"
	for _, from := range []string{"1.2.3.4", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"} {
		hosts := []string{"203.0.113.7", "198.51.100.1"}
		if strings.Contains(from, ":") {
			hosts = []string{"[2001:db8::7]", "[2001:db8::8]"}
		}
		for port := 8002; port <= 8007; port++ {
			open, decides := map[string]bool{}, 0
			for _, host := range hosts {
				for _, in := range []string{"eth0", "eth1"} {
					name, passes := decided(t, file, from, fmt.Sprintf("%s:%d", host, port), in)
					open[name] = open[name] || passes
					if name == "wide" {
						decides++
					}
				}
			}
			maps.DeleteFunc(open, func(_ string, passes bool) bool { return !passes })
			query := fmt.Sprintf("%s %d", from, port)
			found := slices.DeleteFunc(search(ctx, t, query), func(f [2]string) bool { return !strings.Contains(f[1], "reached by") })
			if got, want := slices.Sorted(slices.Values(names(found))), slices.Sorted(maps.Keys(open)); !slices.Equal(got, want) {
				t.Errorf("%q finds %q, explain %q", query, got, want)
			}
			for _, f := range found {
				if f[0] == "wide" && strings.Contains(f[1], partly) != (decides < 4) {
					t.Errorf("%q: %q, though wide decides at %d of 4 places", query, f, decides)
				}
			}
		}
	}
	for text, want := range map[string][][2]string{
		"1.2.3.4":                 {{"wide", " policy 8000-8010/tcp, reached by 1.2.3.4, on 8000-8002/tcp and 8004-8006/tcp and 8008-8010/tcp, " + partly}},
		"8002-8004":               {{"wide", " policy 8000-8010/tcp, on 8002/tcp and 8004/tcp, " + partly}, {"narrow", " policy 8003/tcp"}, {"address", " policy 8004/tcp on 203.0.113.7"}},
		"8003":                    {{"narrow", " policy 8003/tcp, port 8003"}},
		"8003/tcp":                {{"narrow", " policy 8003/tcp, port 8003/tcp"}},
		"8003/udp":                {},
		"203.0.113.7 8004":        {{"wide", " policy 8000-8010/tcp, reached by 203.0.113.7, " + partly}, {"address", " policy 8004/tcp on 203.0.113.7, has the host address 203.0.113.7"}},
		"900":                     {},
		"8050":                    {{"office", " policy 9000/tcp, 8050 is in its name or description"}},
		"198.51.100.7 8050":       {},
		"198.51.100.0/24 90":      {},
		"198.51.100.0/24 set":     {},
		"198.51.100.0/24 office":  {{"office", " policy 9000/tcp, reached by all of 198.51.100.0/24"}, {"office", " set, has all of 198.51.100.0/24"}},
		"198.51.0.0/16 office":    {{"office", " policy 9000/tcp, reached by a part of 198.51.0.0/16"}, {"office", " set, has a part of 198.51.0.0/16"}},
		"2001:db8:40::/48 9000":   {{"office", " policy 9000/tcp, reached by all of 2001:db8:40::/48"}},
		"10.0.0.5-10.0.0.77 9000": {{"office", " policy 9000/tcp, reached by all of 10.0.0.5-10.0.0.77"}},
		"10.0.0.5-10.0.0.78 9000": {{"office", " policy 9000/tcp, reached by a part of 10.0.0.5-10.0.0.78"}},
		"10.0.0.78-10.0.0.5":      {},
		"010.0.0.5":               {},
		"198.51.100.0/33":         {},
		"crowdsec:x":              {{"crowd", " set"}},
		"eth1":                    {{"both-too", " policy 8007/tcp from eth1"}},
	} {
		if got := search(ctx, t, text); !slices.Equal(got, want) {
			t.Errorf("%q:\n%q, want\n%q", text, got, want)
		}
	}
	search(ctx, t, "10.0.0.9")
	if got := searchStatus(ctx, t); got != "2 found; sets that are filled at run time count as empty: crowd" {
		t.Errorf("the status is %q", got)
	}
	for _, hash := range []string{"#%", "#%E0%A4%A"} {
		if got := evaluate[string](ctx, t, fmt.Sprintf(`new Promise(done => { const said = [];
			addEventListener("error", e => said.push(e.message)); location.hash = %q; setTimeout(() => done(said.join()), 100) })`, hash)); got != "" {
			t.Errorf("%s: %s", hash, got)
		}
	}
}

var (
	deciding = regexp.MustCompile(`(?m)^ → .* policy ([\w-]+):`)
	said     = regexp.MustCompile(`(?m)^The policy says (\w+):`)
)

// decided is the policy that decides about a packet, and whether it passes.
func decided(t *testing.T, file, from, to, in string) (policy string, passes bool) {
	t.Helper()
	out, err := exec.Command(program(t), "explain", file, "--from", from, "--to", to, "--in", in).CombinedOutput()
	by, verdict := deciding.FindSubmatch(out), said.FindSubmatch(out)
	if err != nil || by == nil || verdict == nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(by[1]), string(verdict[1]) == "pass"
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
