package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"edge/sparkplug"
)

// tailShow is what of the messages edge tail prints, and how.
type tailShow struct {
	types  []string // message types; empty: all
	metric string   // in lower case; empty: all
	most   int      // metrics of a line of text; 0: all
	color  bool
}

// parseTypes reads a comma-separated list of message types.
func parseTypes(s string) (types []string, err error) {
	for word := range strings.SplitSeq(s, ",") {
		word = strings.ToUpper(strings.TrimSpace(word))
		if word == "" {
			continue
		}
		if !slices.Contains(tailTypes(), word) {
			return nil, fmt.Errorf("--type %s: want some of %s", word, strings.Join(tailTypes(), ", "))
		}
		types = append(types, word)
	}
	return types, nil
}

func tailTypes() []string {
	return []string{"NBIRTH", "NDEATH", "NDATA", "NCMD", "DBIRTH", "DDEATH", "DDATA", "DCMD", "STATE"}
}

// parseColor tells whether to colour what is written to w.
func parseColor(when string, w io.Writer) (bool, error) {
	switch when {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		f, isFile := w.(*os.File)
		return isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", nil
	}
	return false, fmt.Errorf("--color %s: want auto, always or never", when)
}

// wants tells whether a line is printed, and leaves only those metrics in it that are asked for.
func (s *tailShow) wants(l *tailLine) bool {
	if len(s.types) > 0 && !slices.Contains(s.types, l.Type) {
		return false
	}
	if s.metric == "" {
		return true
	}
	l.Metrics = slices.DeleteFunc(l.Metrics, func(m tailMetric) bool { return !strings.Contains(strings.ToLower(m.Name), s.metric) })
	return len(l.Metrics) > 0
}

// The colours of a terminal's eight that every palette shows on light and dark ground.
const (
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// colorOf tells births, deaths, commands and hosts apart; data is plain.
func colorOf(kind string) string {
	switch kind {
	case sparkplug.NBIRTH.String(), sparkplug.DBIRTH.String():
		return green
	case sparkplug.NDEATH.String(), sparkplug.DDEATH.String():
		return red
	case sparkplug.NCMD.String(), sparkplug.DCMD.String():
		return yellow
	case sparkplug.STATE.String():
		return cyan
	}
	return ""
}

// paint appends text in a colour; an empty colour is the terminal's own.
func (s *tailShow) paint(b []byte, color, text string) []byte {
	if !s.color || color == "" {
		return append(b, text...)
	}
	b = append(append(append(b, "\x1b["...), color...), 'm')
	return append(append(b, text...), "\x1b[0m"...)
}

// writeText writes time, type, node, device, seq, bdSeq, the metrics and the verdicts, on one line. Text from outside is
// quoted when it holds anything that a terminal or a reader could mistake.
func (s *tailShow) writeText(w *bufio.Writer, l *tailLine, at time.Time) error {
	b := s.paint(nil, dim, at.Local().Format("15:04:05.000"))
	b = append(b, ' ')
	switch {
	case l.Type == "":
		b = fmt.Appendf(b, "%s %d bytes", safe(l.Topic), l.Bytes)
	case l.Host != "":
		b = s.paint(b, colorOf(l.Type), fmt.Sprintf("%-6s %s", l.Type, safe(l.Host)))
	default:
		b = s.paint(b, colorOf(l.Type), fmt.Sprintf("%-6s %s", l.Type, safe(strings.TrimSuffix(l.Group+"/"+l.Node+"/"+l.Device, "/"))))
	}
	if l.Online != nil {
		b = fmt.Appendf(b, " online=%t", *l.Online)
	}
	if l.Retain {
		b = append(b, " retained"...)
	}
	if l.Seq != nil {
		b = s.paint(append(b, ' '), dim, "seq="+strconv.FormatUint(*l.Seq, 10))
	}
	if l.BdSeq != nil {
		b = s.paint(append(b, ' '), dim, "bdSeq="+strconv.Itoa(*l.BdSeq))
	}
	for i := range l.Metrics {
		if s.most > 0 && i == s.most {
			b = s.paint(append(b, ' '), dim, fmt.Sprintf("and %d more", len(l.Metrics)-i))
			break
		}
		b = s.appendMetric(b, &l.Metrics[i])
	}
	return s.writeVerdicts(w, l, b)
}

// appendMetric appends name=value, and the time of a historical one.
func (s *tailShow) appendMetric(b []byte, m *tailMetric) []byte {
	name := safe(m.Name)
	if m.Name == "" && m.Alias != nil {
		name = "#" + strconv.FormatUint(*m.Alias, 10)
	}
	b = s.paint(append(b, ' '), cyan, name)
	b = append(append(b, '='), m.Value...)
	if m.Historical && m.Timestamp != nil {
		b = s.paint(b, dim, m.Timestamp.Local().Format("@2006-01-02T15:04:05"))
	}
	return b
}

// writeVerdicts ends the line with what is wrong in it.
func (s *tailShow) writeVerdicts(w *bufio.Writer, l *tailLine, b []byte) error {
	for _, p := range l.Problems {
		b = s.paint(append(b, ' '), yellow, "problem: "+printable(p))
	}
	if l.Error != "" {
		b = s.paint(append(b, ' '), red, "error: "+printable(l.Error))
	}
	said := map[string]bool{}
	for _, f := range l.Findings {
		if !said[f.ID] {
			said[f.ID] = true
			b = s.paint(append(b, ' '), red, "✗ "+f.ID)
		}
	}
	_, err := w.Write(append(b, '\n'))
	return err
}
