package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"weir/kafka"
)

// child is a Java process.
type child struct {
	cmd     *exec.Cmd
	logFile string
	done    chan struct{}
	exit    error
}

func startJava(dir, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(context.Background(), "java", args...), logFile: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(c.logFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, log, log
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start java: %w", err)
	}
	go func() {
		c.exit = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// ended tells why the process ended, nil while it runs.
func (c *child) ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("the process has ended: %w\n%s", c.exit, c.log())
	default:
		return nil
	}
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(20 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// log is the end of what the process has printed.
func (c *child) log() string { return tail(c.logFile) }

// tail is the end of a file.
func tail(name string) string {
	const end = 4 << 10
	text, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-end):])
}

// javaKafka is an Apache Kafka with one node.
type javaKafka struct {
	*child
	address string
}

const brokerProperties = `process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.partitions=4
`

const brokerLog = `<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
`

func startKafka(ctx context.Context, jars, dir string) (*javaKafka, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	properties := brokerProperties + strings.Join([]string{
		"listeners=PLAINTEXT://" + addresses[0] + ",CONTROLLER://" + addresses[1],
		"advertised.listeners=PLAINTEXT://" + addresses[0],
		"controller.quorum.voters=1@" + addresses[1],
		"log.dirs=" + filepath.Join(dir, "data"),
	}, "\n") + "\n"
	for name, text := range map[string]string{"server.properties": properties, "log4j2.xml": brokerLog} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	common := []string{"-Xmx1g", "-Dlog4j2.configurationFile=log4j2.xml", "-cp", filepath.Join(jars, "*")}
	format := exec.CommandContext(ctx, "java", append(common, "kafka.tools.StorageTool", "format", "-t", "d2Vpci1wZWVycy1iZW5jaA", "-c", "server.properties")...)
	format.Dir = dir
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	c, err := startJava(dir, "kafka", append(common, "kafka.Kafka", "server.properties")...)
	if err != nil {
		return nil, err
	}
	return &javaKafka{child: c, address: addresses[0]}, nil
}

// freeAddresses are two on loopback that nobody listens on just now.
func freeAddresses(ctx context.Context) (out [2]string, err error) {
	for i := range out {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return out, err
		}
		defer func() { _ = l.Close() }()
		out[i] = l.Addr().String()
	}
	return out, nil
}

// await waits until the broker and its coordinator answer.
func (k *javaKafka) await(ctx context.Context, client *kafka.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if err := k.ended(); err != nil {
			return err
		}
		producer, err := client.NewProducer(ctx, kafka.ProducerOptions{})
		if err == nil {
			return producer.Close()
		}
		if ctx.Err() != nil {
			return errors.Join(fmt.Errorf("kafka did not start: %w", err), errors.New(k.log()))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
