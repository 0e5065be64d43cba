package kafkatest

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/kafka"
)

// kafkaVersion is that of pom.xml; the jars are kept by it.
const kafkaVersion = "4.3.1"

//go:embed testdata/kafka
var kafkaFiles embed.FS

const (
	startTimeout    = 4 * time.Minute // a broker that was killed reads its logs again, and the machine may be busy
	downloadTimeout = 10 * time.Minute
)

// Real starts an Apache Kafka of its own: RunContract's open.
func Real(tb testing.TB) Cluster {
	tb.Helper()
	return StartReal(tb)
}

// RealCluster is an Apache Kafka with one node on loopback ports.
type RealCluster struct {
	dir    string // log4j2.xml, server.properties, data
	jars   string
	broker string // host:port
	// advertised is where the broker sends its clients; empty: to itself.
	advertised string

	mu      sync.Mutex
	process *exec.Cmd
	output  *bytes.Buffer
	ended   chan struct{}
}

// StartReal starts Apache Kafka and waits until it answers; the end of the test kills it. It needs java
// (17 or newer) and, until its jars are in the user's cache directory, mvn: without them the test fails.
func StartReal(tb testing.TB) *RealCluster {
	tb.Helper()
	return StartRealBehind(tb, "", nil)
}

// StartRealBehind starts it behind a proxy, to whose address (host:port) it sends its clients. forward is told the
// broker's own address before it starts, and has to let the proxy lead there: the broker talks to itself through it.
func StartRealBehind(tb testing.TB, proxy string, forward func(broker string)) *RealCluster {
	tb.Helper()
	return startReal(tb, &RealCluster{dir: tb.TempDir(), jars: needJars(tb), advertised: proxy}, forward)
}

// StartRealIn starts it on what is in dir if it ran there before.
func StartRealIn(tb testing.TB, dir string) *RealCluster {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return startReal(tb, &RealCluster{dir: dir, jars: needJars(tb)}, nil)
}

func startReal(tb testing.TB, c *RealCluster, forward func(broker string)) *RealCluster {
	tb.Helper()
	if err := c.configure(); err != nil {
		tb.Fatalf("configure Kafka: %v", err)
	}
	if forward != nil {
		forward(c.broker)
	}
	tb.Cleanup(c.Close)
	if err := c.start(); err != nil {
		tb.Fatalf("start Kafka: %v\n%s", err, c.log())
	}
	return c
}

// Options reach the cluster.
func (c *RealCluster) Options() kafka.Options { return kafka.Options{Brokers: []string{c.broker}} }

// Close kills the broker. It may be called again.
func (c *RealCluster) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return
	}
	_ = c.process.Process.Kill()
	<-c.ended
	c.process = nil
}

// Restart kills the broker and starts it on the same data and ports.
func (c *RealCluster) Restart(tb testing.TB) {
	tb.Helper()
	c.Close()
	if err := c.start(); err != nil {
		tb.Fatalf("start Kafka again: %v\n%s", err, c.log())
	}
}

// needJars fails the test where Kafka cannot be run.
func needJars(tb testing.TB) string {
	tb.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		tb.Fatalf("a real Kafka needs java (17 or newer) on the PATH: %v", err)
	}
	jars, err := kafkaJars()
	if err != nil {
		tb.Fatalf("get Kafka %s: %v", kafkaVersion, err)
	}
	return jars
}

// kafkaJars returns the directory with Kafka's jars, which Maven fills once per user.
func kafkaJars() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "weir", "kafka-"+kafkaVersion)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("mvn is needed on the PATH to fetch it into %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	// Filled beside and renamed, so that a half-filled directory is never taken for a whole one.
	work, err := os.MkdirTemp(filepath.Dir(dir), "kafka-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := copyFiles(work); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	libs := filepath.Join(work, "libs")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+libs)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: %w\n%s", err, out)
	}
	if err := os.Rename(libs, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, e := os.Stat(dir); e != nil { // another test may have been first
			return "", err
		}
	}
	return dir, nil
}

// copyFiles writes the files into dir, over what a broker that ran there before has left of them.
func copyFiles(dir string) error {
	const from = "testdata/kafka"
	files, err := kafkaFiles.ReadDir(from)
	if err != nil {
		return err
	}
	for _, f := range files {
		body, err := kafkaFiles.ReadFile(path.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), body, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// configure writes the broker's files and formats its data directory.
func (c *RealCluster) configure() error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	c.broker = ports[0]
	if err := c.write(ports[1], "1@"+ports[1]); err != nil {
		return err
	}
	return c.format()
}

// write keeps the broker's files, with its address as a controller, those of all controllers, and further settings.
func (c *RealCluster) write(controller, voters string, settings ...string) error {
	if err := copyFiles(c.dir); err != nil {
		return err
	}
	file := filepath.Join(c.dir, "server.properties")
	base, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	properties := string(base) + strings.Join(append(settings,
		"listeners=PLAINTEXT://"+c.broker+",CONTROLLER://"+controller,
		"advertised.listeners=PLAINTEXT://"+cmp.Or(c.advertised, c.broker),
		"controller.quorum.voters="+voters,
		"log.dirs="+filepath.Join(c.dir, "data"),
		"",
	), "\n")
	return os.WriteFile(file, []byte(properties), 0o600)
}

// format makes the data directory, unless there is one.
func (c *RealCluster) format() error {
	const clusterID = "d2Vpci1jb250cmFjdC10MQ" // any 16 bytes
	out, err := c.java("kafka.tools.StorageTool", "format", "-g", "-t", clusterID, "-c", "server.properties").CombinedOutput()
	if err != nil {
		return fmt.Errorf("format storage: %w\n%s", err, out)
	}
	return nil
}

func (c *RealCluster) java(class string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), "java", append([]string{
		"-Xmx512m", "-Dlog4j2.configurationFile=log4j2.xml", "-cp", filepath.Join(c.jars, "*"), class,
	}, args...)...)
	cmd.Dir = c.dir
	return cmd
}

// freePorts returns n loopback addresses that nobody listens on just now.
func freePorts(n int) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		out[i] = l.Addr().String()
	}
	return out, nil
}

// start runs the broker and waits until it answers.
func (c *RealCluster) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := c.java("kafka.Kafka", "server.properties")
	c.output = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = c.output, c.output
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	c.process, c.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		_ = cmd.Wait()
	}(c.ended)
	return c.awaitReady()
}

func (c *RealCluster) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	client, err := kafka.New(c.Options())
	if err != nil {
		return err
	}
	defer client.Close()
	ready := make(chan error, 1)
	go func() { ready <- awaitProducerID(ctx, client) }()
	select {
	case err := <-ready:
		return err
	case <-c.ended:
		return errors.New("the process has ended")
	}
}

// awaitProducerID opens a producer: then broker and transaction coordinator work.
func awaitProducerID(ctx context.Context, client *kafka.Client) error {
	for {
		p, err := client.NewProducer(ctx, kafka.ProducerOptions{})
		if err == nil {
			return p.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in %v: %w", startTimeout, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// log is what the broker has printed; call it when it has ended, or failed to start.
func (c *RealCluster) log() string {
	c.Close()
	return c.output.String()
}
