package ui

import (
	"context"
	"fmt"
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
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"edge/sparkplug"
)

// browser is a Chromium tab on a page of ours, and everything in it that should not have happened.
type browser struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu     sync.Mutex
	faults []string
}

// openBrowser starts a Chromium with a folder of its own. Without one the test is skipped, and says so.
func openBrowser(t *testing.T, origin string) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no chromium: install the package chromium")
	}
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, origin: origin}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", e => console.error("CSP: " + e.violatedDirective + " " + e.blockedURI + " " + e.sample), true)`})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `{ const now = Date.now; Date.now = () => now() + (window.ahead ?? 0) }`})
	b.size(1440, 900)
	return b
}

// hear keeps console errors, exceptions, violations of the CSP, and requests that leave the origin.
func (b *browser) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			b.fault("console: " + strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		b.fault(fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			b.fault("log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.origin+"/") && !strings.HasPrefix(u, "data:") {
			b.fault("request off the origin: " + u)
		}
	}
}

func (b *browser) fault(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, s)
}

func (b *browser) checkFaults() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Error(f)
	}
}

// limit gives one action 90 s, for machines that are busy.
func (b *browser) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, 90*time.Second)
}

func call[P, R any](b *browser, cmd cdp.Command[P, R], params P) {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	if _, err := chromedp.Call(ctx, cmd, params); err != nil {
		b.t.Fatal(err)
	}
}

func run[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// see waits until the page holds something that the CSS selector finds.
func (b *browser) see(selector string) {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS(selector))); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.documentElement.dataset.fresh + "\n" + document.body.innerText`))
		b.checkFaults()
		b.shot("failed")
		b.t.Fatalf("the page never shows %s: %v\n%s", selector, err, text)
	}
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.see(selector)
	run(b, chromedp.Click(chromedp.CSS(selector)))
}

// text is what stands in the first element that the selector finds.
func (b *browser) text(selector string) string {
	b.t.Helper()
	b.see(selector)
	return run(b, chromedp.Text(chromedp.CSS(selector)))
}

// enter sets a field and tells the page of it.
func (b *browser) enter(selector, value, event string) {
	b.t.Helper()
	b.see(selector)
	run(b, chromedp.Evaluate[bool](fmt.Sprintf(`(e => { e.value = %q; return e.dispatchEvent(new Event(%q, {bubbles: true})) })(document.querySelector(%q))`, value, event, selector)))
}

// shot writes a picture into the folder that EDGE_UI_SHOTS names, if it does.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("EDGE_UI_SHOTS")
	if dir == "" {
		return
	}
	png := run(b, chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) size(width, height int64) { run(b, chromedp.EmulateViewport(width, height)) }

func (b *browser) scheme(name string) {
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// servePage is a page on a real server.
func servePage(t *testing.T, p *testParts) string {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = p.ui.Server()
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(p.ui.Close)
	return s.URL
}

func TestPage(t *testing.T) {
	p := newParts(time.Now, nil)
	origin := servePage(t, p)
	b := openBrowser(t, origin)
	run(b, chromedp.Navigate(origin+"/"))

	// The board, and a trend of the first node: the press was dead for three minutes of the last hour.
	for node := range testNodes {
		b.see(fmt.Sprintf(`.tile[data-node="plant/%s"][data-state="online"]`, node))
	}
	b.see(`html[data-fresh="live"]`)
	b.click(`[data-window="60"]`)
	b.see(`select.chooser option`)
	b.enter(`select.chooser`, metricID(refAt("press", "hydraulics", "Pressure")), "change")
	b.see(`[data-trend="edge"][data-gaps="1"]`)
	b.see(`[data-outage="4"][data-owed="12431"][data-delivered="12431"][data-done="true"]`)
	b.shot("overview-light")

	// A node dies: its tile says so with the reason, and so does the log. It comes back.
	b.click(`[data-action="kill"][data-target="plant/press"]`)
	b.see(`.tile[data-node="plant/press"][data-state="offline"]`)
	b.see(`[data-event="node_death"]`)
	b.see(`[data-trend="edge"][data-gaps="2"]`)
	b.shot("overview-killed-light")
	b.click(`[data-action="revive"][data-target="plant/press"]`)
	b.see(`.tile[data-node="plant/press"][data-state="online"]`)

	// The uplink is cut: SCADA takes everything for dead, the plant goes on.
	b.click(`[data-action="cut"]`)
	b.see(`[data-scada="plant/oven"][data-state="offline"]`)
	b.see(`[data-plant="plant/oven"][data-state="online"]`)
	b.see(`[data-uplink="enterprise"][data-state="down"]`)
	b.scheme("dark")
	b.see(`[data-trend="scada"][data-gaps="3"]`)
	b.shot("overview-cut-dark")
	b.size(1024, 768)
	b.scheme("light")
	b.shot("overview-cut-light-1024")
	b.size(1440, 900)
	b.click(`[data-action="restore"]`)
	b.see(`[data-uplink="enterprise"][data-state="live"]`)

	p.checkTags(b)
	p.checkRebirth(b)
	for _, view := range []string{"uplinks", "clients", "firewall", "events"} {
		b.click(`nav a[href="#/` + view + `"]`)
		b.see(`[data-view="` + view + `"]`)
		if view == "clients" {
			b.see(`[data-client="client-press"][data-connected="true"][data-slow="true"]`)
			b.see(`[data-client="line/1"][data-connected="false"][data-slow="false"]`)
			if row := b.text(`[data-client="client-press"]`); !strings.Contains(row, "keep alive timeout") {
				b.t.Errorf("why it left last is not shown: %q", row)
			}
		}
		if view == "firewall" {
			b.see(`[data-violation="<b>mallory</b>"][data-rule="another node"]`)
			b.see(`[data-binding="node/plant/press"] [data-action="forget"]`)
		}
		b.shot(view + "-light")
		b.scheme("dark")
		b.shot(view + "-dark")
		b.scheme("light")
	}
	b.checkFaults()
}

// checkTags opens the tag tree: rows by the keyboard, a value that moves.
func (p *testParts) checkTags(b *browser) {
	b.t.Helper()
	b.click(`nav a[href="#/tags"]`)
	b.see(`[data-row="device"]`)
	id := metricID(refAt("press", "ram", "Cycle Count"))
	b.enter(`.tags input`, "onerror", "input")
	if got := b.text(`[data-metric="` + metricID(refAt("utilities", "compressor", hostileName)) + `"] .c-name`); !strings.Contains(got, hostileName) {
		b.t.Errorf("the name %q is shown as %q", hostileName, got)
	}
	b.enter(`.tags input`, "cycle", "input")
	before := b.text(`[data-value="` + id + `"]`)
	p.plant.data("press", time.Now().Add(time.Hour)) // an hour on, the count is another
	b.see(`[data-value="` + id + `"]:not([title="` + before + `"])`)
	b.enter(`.tags input`, "", "input")
	run(b, chromedp.Focus(chromedp.CSS(`.tree`)))
	run(b, chromedp.KeyEvent(kb.End))
	b.see(`.tree-row.active`)
	if n := run(b, chromedp.Evaluate[int](`document.querySelectorAll(".tree-space > *").length`)); n > 120 {
		b.t.Errorf("%d rows in the document, want at most 120", n)
	}
	b.shot("tags-light")
}

// checkRebirth asks a node for its births from its page.
func (p *testParts) checkRebirth(b *browser) {
	b.t.Helper()
	b.click(`nav a[href="#/"]`)
	b.click(`.tile[data-node="plant/oven"] a`)
	b.see(`[data-view="node"]`)
	b.click(`[data-action="rebirth"]`)
	b.click(`dialog[open] [data-action="confirm"]`)
	ctx, cancel := b.limit()
	defer cancel()
	for ticker := time.NewTicker(20 * time.Millisecond); !slices.Contains(p.commands.list(), "rebirth plant/oven by page at 127.0.0.1"); {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			b.t.Fatalf("commands %q", p.commands.list())
		}
	}
	b.see(`[data-message="done"]`)
	b.shot("node-light")
}

// TestPageSilent stops the appliance under an open page: the page says that its numbers are old and takes no command.
func TestPageSilent(t *testing.T) {
	p := newParts(time.Now, nil)
	s := httptest.NewUnstartedServer(nil)
	s.Config = p.ui.Server()
	s.Start()
	b := openBrowser(t, s.URL)
	run(b, chromedp.Navigate(s.URL+"/"))
	b.see(`html[data-fresh="live"]`)
	p.ui.Close()
	s.Close()
	b.see(`html[data-fresh="late"]`)
	b.see(`[data-banner="late"].banner`)
	run(b, chromedp.Evaluate[int](`window.ahead = 7000`)) // the page's clock goes on
	b.see(`html[data-fresh="dead"]`)
	b.see(`[data-action="kill"]:disabled`)
	b.shot("overview-dead-light")
}

func refAt(node, device, name string) sparkplug.MetricRef {
	return sparkplug.MetricRef{Group: testGroup, Node: node, Device: device, Name: name}
}
