package device

import (
	"path/filepath"
	"strings"
	"testing"
)

func openTestDisk(t *testing.T, path string, id identity) (store, *remains) {
	t.Helper()
	d, left, err := openDisk(path, BufferLimits{NoSync: true}, id)
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
