package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"edge/historian/journal"
)

// withAdvice adds to an error of the data folder what helps, where that is known.
func withAdvice(err error) error {
	for _, a := range [...]struct {
		errno syscall.Errno
		text  string
	}{
		{syscall.EACCES, "make the data folder and all in it readable and writable for this user"},
		{syscall.EPERM, "make the data folder and all in it readable and writable for this user"},
		{syscall.EROFS, "the disk is mounted read-only, perhaps after an error: look at the kernel's log, check it (fsck), mount it for writing"},
		{syscall.EIO, "the disk has errors: look at the kernel's log; copy the data folder to another disk and name that with data: or --data"},
		{syscall.ENOSPC, "the disk is full: free space"},
		{syscall.EDQUOT, "this user's share of the disk is used up: free space"},
		{syscall.EMFILE, "allow this process more open files (LimitNOFILE, ulimit -n)"},
		{syscall.ENOTDIR, "a file stands where a folder should be: move it away"},
		{syscall.EISDIR, "a folder stands where a file should be: move it away"},
		{syscall.ELOOP, "a symbolic link leads to itself: remove it"},
	} {
		if errors.Is(err, a.errno) {
			return fmt.Errorf("%w; %s", err, a.text)
		}
	}
	return err
}

// tellDamage puts into the event log what was damaged of the broker's and the host's files. The historian tells of its own.
func (p *pipeline) tellDamage() {
	if r := p.sessions.Recovered(); r.Quarantined != "" {
		p.tell(fmt.Sprintf("broker.db was damaged: %s; moved to %s; sessions and retained messages begin with what the journal has", r.Reason, r.Quarantined))
	} else if r.Reason != "" {
		p.tell(fmt.Sprintf("broker.db: %s; sessions and retained messages begin with what the journal has", r.Reason))
	}
	for _, owner := range slices.Sorted(maps.Keys(p.states)) {
		if err := p.states[owner].Damage(); err != nil {
			p.tell(fmt.Sprintf("%v; moved to the quarantine; the file of before and what the journal has take its place", err))
		}
	}
}

// tell puts a line into the event log before anything runs. A disk that does not take it is told of by the journal.
func (p *pipeline) tell(text string) {
	e := journal.Event{Kind: journal.SystemEvent, At: millis(time.Now()), Reason: text, BdSeq: -1}
	p.journal.Append(time.Second, journal.Record{Kind: journal.KindEvent, Event: &e}) //nolint:errcheck // see above
}
