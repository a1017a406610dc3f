package main

import "edge/historian/journal"

// unsyncedEnv, if set, makes the impatient program's journal one that does not flush.
const unsyncedEnv = "EDGE_TEST_UNSYNCED"

type unsynced struct{ journal.OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Open(name string, flag int) (journal.File, error) {
	f, err := u.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ journal.File }

func (unsyncedFile) Datasync() error { return nil }
