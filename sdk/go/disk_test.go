package device

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func openTestDisk(t *testing.T, path string, id identity) (store, *remains) {
	t.Helper()
	d, left, err := openDisk(path, BufferLimits{}, id)
	if err != nil {
		t.Fatal(err)
	}
	return d, left
}

func TestDiskKeepsLanesNumbersAndSession(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer")
	id := identity{device: "a/b"}
	d, first := openTestDisk(t, path, id)
	for seq := uint64(1); seq <= 6; seq++ {
		e := &entry{seq: seq, at: int64(seq), readings: 1, size: 4, body: []byte("body")}
		if seq == 6 {
			e.lane = live
		}
		if err := d.put(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{d.decide(1, 2, backlog), d.decide(3, 4, live), d.remove(&entry{seq: 1}), d.close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, left := openTestDisk(t, path, id)
	if left.session != first.session || left.seq != 6 || len(left.entries) != 5 {
		t.Fatalf("%+v", left)
	}
	want := map[uint64]lane{2: backlog, 3: live, 4: live, 5: undecided, 6: live}
	for _, e := range left.entries {
		if e.lane != want[e.seq] || e.again != (want[e.seq] != undecided) || e.at != int64(e.seq) || e.size != 4 {
			t.Errorf("%+v, want lane %d", e, want[e.seq])
		}
		if body, err := d.read(e); err != nil || string(body) != "body" {
			t.Errorf("seq %d: %q, %v", e.seq, body, err)
		}
		if err := d.remove(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	d, left = openTestDisk(t, path, id)
	if left.seq != 6 || len(left.entries) != 0 {
		t.Errorf("numbers begin anew: %+v", left)
	}
	_ = d.close()
}

func TestDiskOfAnotherDeviceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer")
	d, _ := openTestDisk(t, path, identity{device: "a/b"})
	if err := d.put(&entry{seq: 1, body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	_ = d.close()
	for words, id := range map[string]identity{
		`device "a/b"`:    {device: "a/c"},
		"another session": {device: "a/b", session: "mine"},
		"encoding":        {device: "a/b", columns: true},
	} {
		if _, _, err := openDisk(path, BufferLimits{}, id); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: error %v", id, err)
		}
	}
}

func TestAPowerCutWithoutSyncsGivesNoNumberTwice(t *testing.T) {
	for name, again := range map[string]BufferLimits{"opened without syncs": {NoSync: true}, "opened with syncs": {}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "buffer")
			open := func(limits BufferLimits) (store, *remains) {
				t.Helper()
				d, left, err := openDisk(path, limits, identity{device: "a/b"})
				if err != nil {
					t.Fatal(err)
				}
				return d, left
			}
			put := func(d store, seqs ...uint64) {
				t.Helper()
				for _, seq := range seqs {
					if err := d.put(&entry{seq: seq, lane: live, body: []byte("x")}); err != nil {
						t.Fatal(err)
					}
				}
			}
			d, first := open(BufferLimits{NoSync: true})
			put(d, 1, 2)
			_ = d.remove(&entry{seq: 1})
			_ = d.close()
			d, second := open(BufferLimits{NoSync: true})
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			put(d, 3, 4, 5)
			_ = d.close()
			if err := os.WriteFile(path, before, 0o600); err != nil { // the power fails
				t.Fatal(err)
			}
			d, third := open(again)
			if s := third.session; s == first.session || s == second.session || third.seq != 2 {
				t.Errorf("session %s goes on after %d, and 5 was given in %s", s, third.seq, second.session)
			}
			put(d, 3)
			_ = d.close()
			d, last := open(again)
			if again.NoSync == (last.session == third.session) {
				t.Errorf("session %s, before %s", last.session, third.session)
			}
			// What was there keeps the session in which it may have been sent.
			enc := newEncoder("a/b", last.session, false)
			got := map[uint64]string{}
			for _, e := range last.entries {
				got[e.seq] = enc.sessionOf(e)
			}
			if len(got) != 2 || got[2] != first.session || got[3] != third.session {
				t.Errorf("sessions %v, want 2 in %s and 3 in %s", got, first.session, third.session)
			}
			_ = d.close()
		})
	}
}

func TestOpeningAgainAndAgainDoesNotGrowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer")
	var a about
	for range 20 {
		d, _, err := openDisk(path, BufferLimits{NoSync: true}, identity{device: "a/b"})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.put(&entry{seq: 1, lane: live, body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		err = d.(*disk).db.View(func(tx *bolt.Tx) error {
			return json.Unmarshal(tx.Bucket(bucketAbout).Get(keyIdentity), &a)
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = d.close()
	}
	if len(a.Earlier) != 1 {
		t.Errorf("%d earlier sessions of one frame", len(a.Earlier))
	}
}
