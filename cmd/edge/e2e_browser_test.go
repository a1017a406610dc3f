package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a Chromium tab that keeps what must not happen: console errors, exceptions, violations of the content
// security policy, requests off the origin.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu     sync.Mutex
	faults []string
}

func openTab(t *testing.T, origin string) *tab {
	t.Helper()
	path := program(t, "chromium", installChromium)
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, origin: origin}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, cdplog.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", e => console.error("CSP: " + e.violatedDirective + " " + e.blockedURI), true)`})
	do(b, chromedp.EmulateViewport(1440, 900))
	do(b, chromedp.Navigate(origin))
	return b
}

func (b *tab) hear(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			fault = fmt.Sprintf("console error: %+v", e.Args)
		}
	case *runtime.EventExceptionThrown:
		fault = "exception: " + e.ExceptionDetails.Text
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError {
			fault = "log: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.origin) && !strings.HasPrefix(u, "data:") {
			fault = "request off the origin: " + u
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

func (b *tab) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

func call[P, R any](b *tab, c cdp.Command[P, R], params P) {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	if _, err := chromedp.Call(ctx, c, params); err != nil {
		b.t.Fatal(err)
	}
}

func do[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := b.limit()
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// see waits until the page holds what the CSS selector names, and returns how long that took.
func (b *tab) see(selector string) time.Duration {
	b.t.Helper()
	start := time.Now()
	ctx, cancel := b.limit()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS(selector))); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		b.t.Fatalf("the page never shows %s: %v\n%s", selector, err, text)
	}
	return time.Since(start)
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.see(selector)
	do(b, chromedp.Click(chromedp.CSS(selector)))
}

// choose selects the entry of the trend's list whose value is id.
func (b *tab) choose(id string) {
	b.t.Helper()
	b.see(fmt.Sprintf(`select.chooser option[value=%q]`, id))
	do(b, chromedp.Evaluate[bool](fmt.Sprintf(
		`(e => { e.value = %q; return e.dispatchEvent(new Event("change", {bubbles: true})) })(document.querySelector("select.chooser"))`, id)))
}

// shot writes a picture into the folder that EDGE_SHOTS names, if it does.
func (b *tab) shot(name string) {
	b.t.Helper()
	if dir := os.Getenv("EDGE_SHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), do(b, chromedp.CaptureScreenshot()), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

var demoNodes = []string{"press", "oven", "conveyor", "utilities"}

// seeAll waits until every demo node shows state in one of the page's columns.
func (b *tab) seeAll(column, state string) {
	b.t.Helper()
	for _, n := range demoNodes {
		b.see(fmt.Sprintf(`[data-%s="plant/%s"][data-state=%q]`, column, n, state))
	}
}

// TestDemoInTheBrowser is what a new user sees: the demo opened in a real browser, a node killed, the uplink cut.
func TestDemoInTheBrowser(t *testing.T) {
	t.Parallel()
	program(t, "chromium", installChromium)
	d, err := newDemo(demoOptions{data: t.TempDir(), mqtt: "127.0.0.1:0", http: "127.0.0.1:0", history: 2 * time.Hour, log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("demo: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("close demo: %v", err)
		}
	})
	b := openTab(t, d.app.URL())
	b.seeAll("node", "online")
	b.seeAll("plant", "online")
	b.seeAll("scada", "online")
	b.see("[data-space]") // the disk
	eventually(t, patience, "the back-fill is at SCADA", func() bool {
		sent, done := 0, true
		for _, n := range d.fleet.Nodes() {
			sent, done = sent+n.HistorySent, done && n.HistoryDone
		}
		return done && sent > 1000 && d.Scada().Backfill >= uint64(sent)
	})

	// a node dies, with a gap in its trend, and comes back
	var metrics struct{ Metrics []metricState }
	getJSON(t, d.app.URL()+"api/v1/metrics?group=plant&node=conveyor&device=drive", &metrics)
	b.click(`[data-window="10"]`)
	for _, m := range metrics.Metrics {
		if _, number := m.Value.(float64); number {
			b.choose(m.ID)
			break
		}
	}
	b.see(`[data-trend="edge"]:not([data-points="0"])`)
	b.click(`[data-action="kill"][data-target="plant/conveyor"]`)
	t.Logf("the page shows the death %s after the click", b.see(`.tile[data-node="plant/conveyor"][data-state="offline"]`))
	b.see(`[data-scada="plant/conveyor"][data-state="offline"]`)
	b.see(`[data-event="node_death"]`)
	b.see(`[data-trend="edge"]:not([data-gaps="0"])`)
	b.shot("killed")
	b.click(`[data-action="revive"][data-target="plant/conveyor"]`)
	b.seeAll("node", "online")
	b.seeAll("scada", "online")

	// the uplink is cut: SCADA takes everything for dead while the plant goes on; then the report says owed = delivered
	b.click(`[data-action="cut"]`)
	b.seeAll("scada", "offline")
	b.seeAll("plant", "online")
	b.see(`[data-uplink="enterprise"][data-state="down"]`)
	b.shot("cut")
	b.click(`[data-action="restore"]`)
	b.seeAll("scada", "online")
	b.see(`[data-outage][data-done="true"]`)
	var reports []outageReport
	getJSON(t, d.app.URL()+"api/v1/uplinks/enterprise/outages", &reports)
	if r := reports[0]; r.Owed == 0 || r.Owed != r.Delivered || len(r.Gaps) != 0 {
		t.Errorf("report %+v, want owed = delivered and no gap", r)
	}
	b.shot("restored")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		t.Error(f)
	}
}
