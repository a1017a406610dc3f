package ui

import (
	"fmt"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"edge/historian"
	"edge/historian/journal"
)

// healthz says that the program serves requests; readyz says that it does its work.
func (u *UI) healthz(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

type readyJSON struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
}

func (u *UI) readyz(w http.ResponseWriter, r *http.Request) {
	reasons := u.notReady()
	status := http.StatusOK
	if len(reasons) > 0 {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, readyJSON{len(reasons) == 0, reasons})
}

func (u *UI) notReady() []string {
	if u.opt.Ready == nil {
		return []string{}
	}
	return append([]string{}, u.opt.Ready()...)
}

type statusJSON struct {
	Version    string        `json:"version"`
	Commit     string        `json:"commit"`
	Go         string        `json:"go"`
	Started    stamp         `json:"started"`
	Ready      readyJSON     `json:"ready"`
	Clock      clockJSON     `json:"clock"`
	Disk       *diskJSON     `json:"disk"`
	Durability string        `json:"durability"`
	Warnings   []string      `json:"warnings"` // what works and should be looked at
	Demo       bool          `json:"demo"`
	Commands   bool          `json:"commands"`
	Broker     brokerJSON    `json:"broker"`
	Journal    *journalJSON  `json:"journal"`
	Historian  historianJSON `json:"historian"`
	Hosts      []hostJSON    `json:"hosts"` // the other Sparkplug hosts at the plant's broker
	Uplinks    []uplinkJSON  `json:"uplinks"`
	Streams    int           `json:"streams"`
}

type clockJSON struct {
	Time stamp `json:"time"`
}

type diskJSON struct {
	Path       string `json:"path"`
	TotalBytes uint64 `json:"total_bytes"`
	FreeBytes  uint64 `json:"free_bytes"` // to this process
}

type brokerJSON struct {
	Clients       int               `json:"clients"`
	Sessions      int               `json:"sessions"`
	Subscriptions int               `json:"subscriptions"`
	Retained      int               `json:"retained"`
	ReceivedTotal uint64            `json:"received_total"`
	SentTotal     uint64            `json:"sent_total"`
	Dropped       map[string]uint64 `json:"dropped"`
}

type journalJSON struct {
	Bytes         int64   `json:"bytes"`
	Segments      int     `json:"segments"`
	SpareSegments int     `json:"spare_segments"`
	Commits       uint64  `json:"commits_total"`
	Syncs         uint64  `json:"syncs_total"`
	WrittenBytes  uint64  `json:"written_bytes_total"`
	PendingBytes  int     `json:"pending_bytes"`
	Lag           float64 `json:"lag"`         // seconds
	CommitTook    float64 `json:"commit_took"` // seconds, the last one
	Error         string  `json:"error"`       // why the disk takes no writes now
}

type historianJSON struct {
	Series         int     `json:"series"`
	SamplesTotal   uint64  `json:"samples_total"`
	Bytes          int64   `json:"bytes"`
	BytesPerSample float64 `json:"bytes_per_sample"`
	Space          string  `json:"space"` // ok, warn, drop, low, full: how much room its disk has
	DiskFree       int64   `json:"disk_free_bytes"`
	LimitBytes     int64   `json:"limit_bytes"`   // 0: none
	BallastBytes   int64   `json:"ballast_bytes"` // 0: freed, the disk was full
	LostSamples    uint64  `json:"lost_samples_total"`
	LostEvents     uint64  `json:"lost_events_total"`
}

// hostJSON is the last STATE of another host application.
type hostJSON struct {
	Host     string `json:"host"`
	Online   bool   `json:"online"`
	Since    stamp  `json:"since"`    // its STATE's own timestamp; null in the form of Sparkplug 2.2, which has none
	Received stamp  `json:"received"` // here
	Client   string `json:"client"`   // who published it; empty when not known
	Legacy   bool   `json:"legacy"`   // STATE/ID, as Sparkplug 2.2 had it
}

func (u *UI) status(w http.ResponseWriter, r *http.Request) {
	reasons := u.notReady()
	s := statusJSON{
		Version: u.opt.Version, Commit: u.opt.Commit, Go: runtime.Version(),
		Started: stamp(u.opt.Started), Ready: readyJSON{len(reasons) == 0, reasons},
		Clock: clockJSON{stamp(u.opt.Now())}, Disk: diskOf(u.opt.DataDir), Durability: u.opt.Durability, Warnings: u.warnings(),
		Demo: u.opt.Demo != nil, Commands: u.opt.Commands != nil,
		Broker:  brokerJSON{Dropped: map[string]uint64{}},
		Hosts:   u.hostList(),
		Uplinks: u.uplinkList(), Streams: u.hub.len(),
	}
	if u.opt.Broker != nil {
		b := u.opt.Broker.Stats()
		s.Broker = brokerJSON{b.Clients, b.Sessions, b.Subscriptions, b.Retained, b.ReceivedTotal, b.SentTotal, orEmpty(b.Dropped)}
	}
	if u.opt.Journal != nil {
		s.Journal = journalToJSON(u.opt.Journal.Stats())
	}
	if u.opt.History != nil {
		h := u.opt.History.Stats()
		s.Historian = historianJSON{h.Series, h.SamplesTotal, h.Bytes, finite(h.BytesPerSample), h.Space.String(), h.DiskFree, h.Limit, h.Ballast,
			h.LostSamples, h.LostEvents}
	}
	answer(w, http.StatusOK, s)
}

func (u *UI) hostList() []hostJSON {
	out := []hostJSON{}
	if u.opt.Plant == nil {
		return out
	}
	for _, h := range u.opt.Plant.Hosts() {
		out = append(out, hostJSON{h.ID, h.Online, stamp(h.Timestamp), stamp(h.Received), h.ClientID, h.Legacy})
	}
	return out
}

func journalToJSON(j journal.Stats) *journalJSON {
	out := &journalJSON{
		Bytes: j.Bytes, Segments: j.Segments, SpareSegments: j.Spares, Commits: j.Commits, Syncs: j.Syncs, WrittenBytes: j.CommitBytes,
		PendingBytes: j.PendingBytes, Lag: seconds(j.Lag), CommitTook: j.CommitTook.Seconds(),
	}
	if j.Err != nil {
		out.Error = j.Err.Error()
	}
	return out
}

// warnings are what an operator should know of while all works.
func (u *UI) warnings() []string {
	out := []string{}
	if u.opt.Durability == "fast" {
		out = append(out, "durability is fast: acknowledged messages are not yet on disk, a power cut may lose them")
	}
	if u.opt.Journal != nil {
		if s := u.opt.Journal.Stats(); s.Err == nil && s.Spares == 0 && s.Segments > 0 {
			out = append(out, "the journal has no spare segment: a commit may have to make a file; is the disk full?")
		}
	}
	if u.opt.History != nil {
		h := u.opt.History.Stats()
		if h.ClockOff > 0 {
			out = append(out, fmt.Sprintf("the clock is not believed, it is %v from the last known time: no history is removed for its age; set the clock", h.ClockOff.Round(time.Second)))
		}
		if h.Space > historian.SpaceOK {
			out = append(out, fmt.Sprintf("the disk is filling up, level %s: %d of %d MiB are free; free space, or lower historian.retention",
				h.Space, h.DiskFree>>20, h.DiskTotal>>20))
		}
	}
	if u.opt.Broker != nil {
		if slow := u.opt.Broker.Stats().Slow; slow > 0 {
			out = append(out, fmt.Sprintf("%d clients read more slowly than they are sent to: see slow at /api/v1/clients", slow))
		}
	}
	return out
}

func diskOf(dir string) *diskJSON {
	var st unix.Statfs_t
	if dir == "" || unix.Statfs(dir, &st) != nil {
		return nil
	}
	return &diskJSON{dir, st.Blocks * uint64(st.Bsize), st.Bavail * uint64(st.Bsize)}
}

func orEmpty(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

func finite(f float64) float64 {
	if f != f || f > 1e300 || f < -1e300 {
		return 0
	}
	return f
}

// seconds rounds a duration to milliseconds, as a number of seconds.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
