// Command peers measures Weir's pipeline and Kafka Streams one after the other: the same Apache Kafka, the same
// readings, one run. scripts/bench-peers.sh builds what it needs and calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"weir/bench"
	"weir/kafka"
	"weir/wire"
)

// options are the command line.
type options struct {
	weir, kafkaJars, streams      string
	commit, command, out          string
	readings, devices, metrics    int
	batch, partitions, cacheBytes int
	threads                       int
}

func parse() (o options) {
	flag.StringVar(&o.weir, "weir", "bin/weir", "weir, built")
	flag.StringVar(&o.kafkaJars, "kafka-jars", "", "directory of Apache Kafka's jars")
	flag.StringVar(&o.streams, "streams", "", "class path of the Kafka Streams program")
	flag.StringVar(&o.commit, "commit", "", "commit that is measured")
	flag.StringVar(&o.command, "command", "", "command to tell in the results")
	flag.StringVar(&o.out, "out", "", "results go to this path with .json and .md; none: to stdout only")
	flag.IntVar(&o.readings, "readings", 10_000_000, "readings")
	flag.IntVar(&o.devices, "devices", 1000, "devices")
	flag.IntVar(&o.metrics, "metrics", 4, "metrics per device")
	flag.IntVar(&o.batch, "batch", 100, "readings per record")
	flag.IntVar(&o.partitions, "partitions", 4, "partitions")
	flag.IntVar(&o.threads, "threads", 1, "threads of Kafka Streams")
	flag.IntVar(&o.cacheBytes, "cache", 64<<20, "bytes of Kafka Streams' record cache")
	flag.Parse()
	return o
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, parse())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	work, err := os.MkdirTemp("", "weir-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	broker, err := startKafka(ctx, o.kafkaJars, filepath.Join(work, "kafka"))
	if err != nil {
		return err
	}
	defer broker.stop()
	client, err := kafka.New(kafka.Options{Brokers: []string{broker.address}})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := broker.await(ctx, client); err != nil {
		return err
	}
	r := &report{
		Commit: o.commit, Command: o.command, Date: time.Now().UTC().Format(time.RFC3339), Machine: bench.Machine(),
		Readings: o.readings / o.batch * o.batch, Devices: o.devices, Metrics: o.metrics, Batch: o.batch, Partitions: o.partitions,
		Threads: o.threads, CacheBytes: o.cacheBytes,
	}
	f := bench.Fleet{Name: "plant", Devices: o.devices, Metrics: o.metrics, Batch: o.batch, Step: time.Second, Session: "peers"}
	if err := f.Check(); err != nil {
		return err
	}
	if err := bench.MakeTopics(ctx, client, o.partitions); err != nil {
		return err
	}
	say("preloading %d readings", r.Readings)
	if err := bench.Preload(ctx, client, &f, r.Readings); err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	s := session{options: o, broker: broker, client: client, readings: r.Readings, work: work}
	if err := s.all(ctx, r); err != nil {
		return err
	}
	return r.write(o.out)
}

func say(format string, values ...any) { fmt.Fprintf(os.Stderr, format+"\n", values...) }

// session measures on one broker.
type session struct {
	options
	broker   *javaKafka
	client   *kafka.Client
	readings int
	work     string
}

func (s *session) all(ctx context.Context, r *report) error {
	say("weir")
	got, err := s.weirs(ctx)
	if err != nil {
		return fmt.Errorf("weir: %w", err)
	}
	r.Runs = append(r.Runs, *got)
	for _, output := range []string{"last", "batch", "reading"} {
		say("Kafka Streams, output %s", output)
		got, err := s.kafkaStreams(ctx, output)
		if err != nil {
			return fmt.Errorf("kafka streams, %s: %w", output, err)
		}
		r.Runs = append(r.Runs, *got)
	}
	return nil
}

// stalled is how long a peer may make no progress; the first is after its start.
const stalled = time.Minute

func (s *session) weirs(ctx context.Context) (*outcome, error) {
	log, err := os.Create(filepath.Join(s.work, "weir.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	server, err := bench.StartServer(ctx, bench.ServerOptions{Program: s.weir, Brokers: []string{s.broker.address}, Log: log})
	if err != nil {
		return nil, errors.Join(err, errors.New(tail(log.Name())))
	}
	watched, err := bench.Watch{
		Until: int64(s.readings), Progress: server.Applied, Stalled: stalled,
		Pids: map[string]int{"pipeline": server.Pid(), "broker": s.broker.pid()},
	}.Run(ctx)
	server.Stop()
	if err != nil {
		return nil, errors.Join(err, errors.New(tail(log.Name())))
	}
	counted, rows, err := bench.CountUpdates(ctx, s.client)
	if err == nil && counted != int64(s.readings) {
		err = fmt.Errorf("%s tells of %d readings, of %d", wire.TopicUpdates, counted, s.readings)
	}
	return &outcome{
		Who: "Weir", Output: fmt.Sprintf("a row per series and flush, here of %d readings", int64(s.readings)/max(1, rows)), Watched: *watched,
	}, err
}

func (s *session) kafkaStreams(ctx context.Context, output string) (*outcome, error) {
	topic := "peer." + output
	if err := s.client.EnsureTopics(ctx, []kafka.TopicSpec{{Name: topic, Partitions: s.partitions}}); err != nil {
		return nil, err
	}
	child, err := startJava(s.work, "kstreams-"+output, "-Xmx1g", "-cp", s.streams, "peer.Main", output, s.broker.address, topic,
		fmt.Sprint(s.threads), filepath.Join(s.work, "kstreams-"+output), fmt.Sprint(s.cacheBytes))
	if err != nil {
		return nil, err
	}
	perRecord := int64(s.batch)
	if output == "reading" {
		perRecord = 1
	}
	watched, err := bench.Watch{
		Until: int64(s.readings), Stalled: stalled,
		Progress: func(ctx context.Context) (int64, error) {
			if err := child.ended(); err != nil {
				return 0, err
			}
			ranges, err := s.client.Offsets(ctx, topic)
			var n int64
			for _, r := range ranges {
				n += r.End
			}
			return n * perRecord, err
		},
		Pids: map[string]int{"pipeline": child.pid(), "broker": s.broker.pid()},
	}.Run(ctx)
	child.stop()
	if err != nil {
		return nil, errors.Join(err, errors.New(child.log()))
	}
	return &outcome{Who: "Kafka Streams", Output: outputs[output], Watched: *watched}, nil
}

var outputs = map[string]string{
	"last":    "a record per record in, with a row per series in it",
	"batch":   "a record per record in, with a row per reading",
	"reading": "a record per reading",
}

// outcome is one run.
type outcome struct {
	Who    string `json:"who"`
	Output string `json:"output"`
	bench.Watched
}

func (r *report) write(out string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	table := r.markdown()
	fmt.Print(table)
	if out == "" {
		return nil
	}
	return errors.Join(
		os.WriteFile(out+".json", append(text, '\n'), 0o600),
		os.WriteFile(out+".md", []byte(table), 0o600),
	)
}
