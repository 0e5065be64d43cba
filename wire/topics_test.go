package wire

import "testing"

// A pipeline that takes over reads back what was emitted since the last checkpoint: it must still be there as
// long as the readings it was made of.
func TestWhatIsReadBackIsKeptAsLongAsReadings(t *testing.T) {
	kept := make(map[string]TopicSpec)
	for _, spec := range TopicSpecs() {
		kept[spec.Name] = spec
	}
	for _, topic := range []string{TopicUpdates, TopicAlerts} {
		if kept[topic].Retention < kept[TopicReadings].Retention {
			t.Errorf("%s is kept for %s, %s for %s", topic, kept[topic].Retention, TopicReadings, kept[TopicReadings].Retention)
		}
	}
}
