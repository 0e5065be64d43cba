package kafka

import "testing"

// Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
func TestMurmur2EqualsJava(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2(key)); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionForStaysInRange(t *testing.T) {
	seen := make(map[int]bool)
	for _, key := range []string{"", "a", "plant1/line3/press7", "foobar", "21", "b", "c", "d", "e", "f"} {
		p := PartitionFor(key, 4)
		if p < 0 || p >= 4 {
			t.Fatalf("PartitionFor(%q, 4) = %d", key, p)
		}
		seen[p] = true
	}
	if len(seen) < 3 {
		t.Errorf("10 keys in %d partitions", len(seen))
	}
}
