package config

import (
	"time"

	"weir/auth"
	"weir/bridge"
	"weir/commands"
	"weir/devices"
	"weir/ingest"
	"weir/kafka/embedded"
	"weir/pipeline"
	"weir/push"
	"weir/rooms"
	"weir/wire"
)

const (
	// DefaultPartitions is into how many partitions topics are divided when nobody said.
	DefaultPartitions = 4
	// DefaultData is where an embedded broker keeps its data when nobody said.
	DefaultData = "data"
	// AdminOff stands for no profiler.
	AdminOff = "off"
	// EveryOrigin, in AllowedOrigins, stands for all web pages.
	EveryOrigin = "*"
)

// Default is a whole Weir on this machine, reachable from it alone.
func Default() Config {
	return Config{
		Listen:         "127.0.0.1:7420",
		AdminListen:    AdminOff,
		Roles:          Roles(),
		AllowedOrigins: []string{},
		AllowedHosts:   []string{},
		TrustedProxies: []string{},
		HeaderTimeout:  5 * time.Second,
		MaxHeaderBytes: 16 << 10,
		StopTimeout:    15 * time.Second,
		TLS:            TLS{ClientCertificates: CertificatesOptional},
		Kafka: Kafka{
			Brokers:          []string{},
			Linger:           2 * time.Millisecond,
			DeliveryTimeout:  15 * time.Second,
			MaxBufferedBytes: 64 << 20,
			StartTimeout:     30 * time.Second,
		},
		Embedded:  embedded.DefaultConfig(),
		Retention: defaultRetention(),
		Ingest:    ingest.DefaultConfig(),
		Pipeline:  pipeline.DefaultConfig(),
		Push:      push.DefaultConfig(),
		Rooms:     rooms.DefaultConfig(),
		Commands:  commands.DefaultConfig(),
		Bridges:   bridge.DefaultConfig(),
		Devices:   devices.DefaultConfig(),
		Auth:      auth.DefaultConfig(),
		Log:       Log{Level: "info", Format: "text"},
	}
}

func defaultRetention() Retention {
	var r Retention
	for _, s := range wire.TopicSpecs() {
		if keep := r.Of(s.Name); keep != nil {
			*keep = Keep{Age: s.Retention, Bytes: s.RetentionBytes}
		}
	}
	return r
}

// Of is the bound of a topic, or nil for a topic without one.
func (r *Retention) Of(topic string) *Keep {
	switch topic {
	case wire.TopicReadings:
		return &r.Readings
	case wire.TopicUpdates:
		return &r.Updates
	case wire.TopicAlerts:
		return &r.Alerts
	case wire.TopicDeadLetters:
		return &r.DeadLetters
	case wire.TopicBacklog:
		return &r.Backlog
	case wire.TopicMessages:
		return &r.Messages
	}
	return nil
}
