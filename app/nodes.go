package app

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"weir/ingest"
	"weir/kafka"
	"weir/nodes"
	"weir/pipeline"
	"weir/wire"
)

// startNodes tells the other processes about this one, and learns about them. p is this process's pipeline, nil
// if it has none.
func (a *App) startNodes(client *kafka.Client, producer *kafka.Producer, partitions int, p *pipeline.Pipeline, self nodes.Node) (*nodes.Registry, error) {
	log := a.log.With("component", "nodes")
	t := a.newTable(client, producer, wire.TopicNodes, partitions)
	registry, err := nodes.NewRegistry(nodes.RegistryOptions{
		Table: t, Client: client, Group: pipeline.Group, Partitions: partitions, Local: lagOf(p), Logger: log, Metrics: a.set,
	})
	if err != nil {
		return nil, err
	}
	reporter, err := nodes.NewReporter(nodes.ReporterOptions{
		Table: t, Client: client, Self: self, Lag: lagOf(p), Logger: log, Metrics: a.set,
	})
	if err != nil {
		return nil, err
	}
	a.background("table of nodes", t.Run)
	a.background("nodes", registry.Run)
	a.background("report to nodes", reporter.Run)
	return registry, nil
}

// self is what the others are told about this process.
func (a *App) self() nodes.Node {
	host, err := os.Hostname()
	if err != nil {
		host = "weir"
	}
	var random [4]byte
	_, _ = rand.Read(random[:])
	address := a.URL()
	if tcp, ok := a.listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() { // others ask by name
		scheme, _, _ := strings.Cut(address, ":")
		address = scheme + "://" + net.JoinHostPort(host, fmt.Sprint(tcp.Port)) + "/"
	}
	return nodes.Node{
		ID:    fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(random[:])),
		Roles: a.opts.Config.Roles, Address: address, Version: a.opts.Build.info().Version, Started: time.Now().UnixMicro(),
	}
}

// lagOf is the pipeline's lag as nodes tells it; nil without a pipeline.
func lagOf(p *pipeline.Pipeline) func() []nodes.PartitionLag {
	if p == nil {
		return nil
	}
	return func() []nodes.PartitionLag {
		lags := p.Lag()
		list := make([]nodes.PartitionLag, len(lags))
		for i, l := range lags {
			records := max(0, l.End-l.Applied)
			list[i] = nodes.PartitionLag{
				Partition: l.Partition, Applied: l.Applied, End: l.End, Records: records,
				Bytes: int64(float64(records) * l.RecordBytes), Age: l.Age.Microseconds(),
			}
		}
		return list
	}
}

// admissionLags tells ingest what the registry knows.
type admissionLags struct{ registry *nodes.Registry }

func (l admissionLags) Lag(partition int) (ingest.Lag, bool) {
	lag, known := l.registry.Lag(partition)
	return ingest.Lag{Age: time.Duration(lag.Age) * time.Microsecond, Records: lag.Records, Bytes: lag.Bytes}, known
}
