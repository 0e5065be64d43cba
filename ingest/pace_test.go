package ingest

import (
	"testing"
	"time"
)

// play lets a device and a writer run through virtual time: the device sends every period, or, if it waits
// for receipts, as soon as it has one; Kafka takes 3 ms. It tells how many writes and frames there were.
func play(waits bool, period, total int64) (writes, frames int) {
	c := DefaultConfig()
	p := newPace(&c)
	var head, tail, ready uint64
	var sent []int64
	next := int64(1_000_000)
	for now := next; now < 1_000_000+total; now += 100 {
		if next >= 0 && now >= next {
			sent = append(sent, now)
			tail++
			frames++
			next = now + period
			if waits {
				next = -1
			}
		}
		for int(ready) < len(sent) && now-sent[ready] >= 3000 {
			ready++
		}
		if ready == head || p.hold(now, head, tail) > 0 {
			continue
		}
		writes++
		p.wrote(now, ready-head, tail)
		head = ready
		if waits {
			next = now + 200
		}
	}
	return writes, frames
}

func TestReceiptsOfASteadyDeviceAreGathered(t *testing.T) {
	second := time.Second.Microseconds()
	if writes, frames := play(false, 5_000, second); writes > frames/3 {
		t.Errorf("200 frames/s: %d writes for %d frames", writes, frames)
	}
	if writes, frames := play(false, 333, second); writes > frames/16 {
		t.Errorf("3,000 frames/s: %d writes for %d frames", writes, frames)
	}
	if writes, frames := play(false, 50_000, second); writes < frames-1 {
		t.Errorf("20 frames/s: %d writes for %d frames", writes, frames)
	}
}

func TestADeviceThatWaitsForItsReceiptIsHardlyHeldUp(t *testing.T) {
	_, frames := play(true, 0, time.Second.Microseconds())
	if most := 1000 / 3; frames < most*8/10 {
		t.Errorf("%d frames in a second, without gathering about %d", frames, most)
	}
}
