package wire

import "time"

// Topics of Weir in Kafka. What each holds is told in docs/ARCHITECTURE.md.
const (
	TopicReadings    = "weir.readings"
	TopicUpdates     = "weir.updates"
	TopicAlerts      = "weir.alerts"
	TopicState       = "weir.state"
	TopicLatest      = "weir.latest"
	TopicDevices     = "weir.devices"
	TopicDeadLetters = "weir.dead-letters"
	TopicBacklog     = "weir.backlog"
	TopicMessages    = "weir.messages"
	TopicNodes       = "weir.nodes"
	TopicAuth        = "weir.auth"
)

// TopicSpec is how a topic is to be kept. Retention and RetentionBytes (per partition) mean nothing for a
// compacted topic.
type TopicSpec struct {
	Name           string
	Compact        bool
	Retention      time.Duration
	RetentionBytes int64
}

const (
	day = 24 * time.Hour
	mib = 1 << 20
)

// TopicSpecs lists all topics with their default retention.
func TopicSpecs() []TopicSpec {
	return []TopicSpec{
		{Name: TopicReadings, Retention: day, RetentionBytes: 4096 * mib},
		{Name: TopicUpdates, Retention: day, RetentionBytes: 4096 * mib},
		{Name: TopicAlerts, Retention: 30 * day, RetentionBytes: 256 * mib},
		{Name: TopicState, Compact: true},
		{Name: TopicLatest, Compact: true},
		{Name: TopicDevices, Compact: true},
		{Name: TopicDeadLetters, Retention: 7 * day, RetentionBytes: 256 * mib},
		{Name: TopicBacklog, Retention: 7 * day, RetentionBytes: 4096 * mib},
		{Name: TopicMessages, Retention: day, RetentionBytes: 256 * mib},
		{Name: TopicNodes, Compact: true},
		{Name: TopicAuth, Compact: true},
	}
}
