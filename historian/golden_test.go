package historian

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/historian/journal"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// goldenFill records what the golden files hold: 100 samples, a late one, a death and a birth.
func goldenFill(r *rig) {
	for i := range 100 {
		r.add(key(0), at(noon.Add(time.Duration(i-200)*time.Second), float64(i)/4))
	}
	r.follow()
	r.flush(flushAll)
	r.add(key(0), at(noon.Add(-199500*time.Millisecond), -1))
	r.addEvent(death(noon.Add(-90 * time.Second)))
	r.addEvent(birth(journal.NodeBirth, "", noon.Add(-80*time.Second)))
	r.addEvent(birth(journal.DeviceBirth, "d", noon.Add(-70*time.Second)))
	r.follow()
}

// The golden files were written by format version 1 and stay as they are; a change that cannot read them needs a new version.
func TestGoldenFiles(t *testing.T) {
	const golden = "testdata/history"
	if *rewrite {
		r := newRig(t, Options{})
		goldenFill(r)
		r.close()
		if err := os.RemoveAll(golden); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(golden, os.DirFS(filepath.Join(r.dir, "history"))); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "history"), os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	r := newRigIn(t, dir, Options{}) // with a journal that is empty: the log is lost, the files are not
	defer r.close()
	out := r.read(key(0), noon.Add(-time.Hour), noon)
	if got := values(out.Samples); len(got) != 101 || got[0] != 0 || got[1] != -1 || got[100] != 24.75 {
		t.Errorf("samples %v", got)
	}
	want := Gap{From: ms(noon) - 90_000, To: ms(noon) - 70_000, Cause: "node death: connection lost"}
	if len(out.Gaps) != 1 || out.Gaps[0] != want {
		t.Errorf("gaps %v, want %v", out.Gaps, want)
	}
	r.add(key(0), at(noon.Add(-time.Second), 7))
	r.follow()
	if got := r.read(key(0), noon.Add(-time.Minute), noon).Samples; len(got) != 1 {
		t.Errorf("%d samples after the files were taken up, want 1", len(got))
	}
}
