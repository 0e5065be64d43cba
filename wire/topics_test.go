package wire

import (
	"strings"
	"testing"
	"time"
)

func TestWhatIsReadBackIsKeptAsLongAsReadings(t *testing.T) {
	kept := make(map[string]TopicSpec)
	for _, spec := range TopicSpecs() {
		kept[spec.Name] = spec
	}
	readings, updates, alerts := kept[TopicReadings].Retention, kept[TopicUpdates].Retention, kept[TopicAlerts].Retention
	if err := CheckRetention(readings, updates, alerts); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := CheckRetention(readings, readings-time.Second, readings-time.Second)
	if err == nil || !strings.Contains(err.Error(), "updates.age: ") || !strings.Contains(err.Error(), "alerts.age: ") {
		t.Errorf("error %v, want one that names both", err)
	}
}
