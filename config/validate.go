package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/internal/joined"
	"weir/internal/remote"
)

// Validate names every field that cannot work, by its full path.
func (c *Config) Validate() error {
	return errors.Join(
		address("listen", c.Listen),
		c.validateAdmin(),
		c.validateRoles(),
		c.validateOrigins(),
		c.validateProxies(),
		positive("header_timeout", c.HeaderTimeout),
		within("max_header_bytes", c.MaxHeaderBytes, 4<<10, 1<<20),
		c.TLS.validate(),
		within("partitions", c.Partitions, 0, 1024),
		within("max_sockets", c.MaxSockets, 0, 1<<20),
		positive("stop_timeout", c.StopTimeout),
		c.validateDrain(),
		within("kafka.replication_factor", c.Kafka.ReplicationFactor, 0, 100),
		c.validateKafka(),
		c.validateRetention(),
		choice("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		choice("log.format", c.Log.Format, "text", "json"),
		joined.Prefixed("embedded.", c.Embedded.Validate()),
		joined.Prefixed("ingest.", c.Ingest.Validate()),
		joined.Prefixed("pipeline.", c.Pipeline.Validate()),
		joined.Prefixed("push.", c.Push.Validate()),
		joined.Prefixed("rooms.", c.Rooms.Validate()),
		joined.Prefixed("commands.", c.Commands.Validate()),
		joined.Prefixed("bridges.", c.Bridges.Validate()),
		joined.Prefixed("devices.", c.Devices.Validate()),
		joined.Prefixed("auth.", c.Auth.Validate()),
	)
}

func (c *Config) validateProxies() error {
	if _, err := remote.ParseProxies(c.TrustedProxies); err != nil {
		return fmt.Errorf("trusted_proxies: %w", err)
	}
	return nil
}

// Has reports whether the process has a role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// UsesEmbedded reports whether the process brings its own broker.
func (c *Config) UsesEmbedded() bool { return len(c.Kafka.Brokers) == 0 }

// HasAdmin reports whether a profiler is wanted.
func (c *Config) HasAdmin() bool { return c.AdminListen != "" && c.AdminListen != AdminOff }

// AllowsEveryOrigin reports whether every web page may connect.
func (c *Config) AllowsEveryOrigin() bool { return slices.Contains(c.AllowedOrigins, EveryOrigin) }

func (t *TLS) validate() error {
	var errs []error
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, errors.New("tls.cert_file, tls.key_file: one needs the other"))
	}
	if t.ClientCAFile != "" && t.CertFile == "" {
		errs = append(errs, errors.New("tls.client_ca_file: client certificates need tls.cert_file and tls.key_file"))
	}
	if t.ClientCertificates == CertificatesRequired && t.ClientCAFile == "" {
		errs = append(errs, errors.New("tls.client_certificates: required needs tls.client_ca_file"))
	}
	errs = append(errs, choice("tls.client_certificates", t.ClientCertificates, CertificatesOptional, CertificatesRequired))
	return errors.Join(errs...)
}

func (c *Config) validateAdmin() error {
	if !c.HasAdmin() {
		return nil
	}
	if err := address("admin_listen", c.AdminListen); err != nil {
		return err
	}
	if !LoopbackAddress(c.AdminListen) {
		return fmt.Errorf("admin_listen: %s is not on loopback; the profiler has no credentials", c.AdminListen)
	}
	return nil
}

func (c *Config) validateRoles() error {
	var errs []error
	if len(c.Roles) == 0 {
		errs = append(errs, errors.New("roles: must name at least one of "+strings.Join(Roles(), ", ")))
	}
	for i, r := range c.Roles {
		if !slices.Contains(Roles(), r) {
			errs = append(errs, fmt.Errorf("roles[%d]: %q is none of %s", i, r, strings.Join(Roles(), ", ")))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, r := range Roles() {
		if r != RoleBridge && !c.Has(r) && c.UsesEmbedded() {
			return fmt.Errorf("roles: without %s this process needs kafka.brokers, where it meets the others", r)
		}
	}
	return nil
}

func (c *Config) validateOrigins() error {
	var errs []error
	for i, o := range c.AllowedOrigins {
		if o == EveryOrigin {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			errs = append(errs, fmt.Errorf("allowed_origins[%d]: %q is neither scheme://host[:port] nor *", i, o))
		}
	}
	for i, h := range c.AllowedHosts {
		if h == "" || strings.ContainsAny(h, "/ ") {
			errs = append(errs, fmt.Errorf("allowed_hosts[%d]: %q is not a host name", i, h))
		}
	}
	return errors.Join(errs...)
}

// validateDrain sees to it that stages can end by themselves what they have begun: what takes longer than
// stop_timeout is left behind.
func (c *Config) validateDrain() error {
	var errs []error
	for _, stage := range []struct {
		name string
		time.Duration
	}{
		{"ingest.drain_timeout", c.Ingest.DrainTimeout},
		{"push.drain_timeout", c.Push.DrainTimeout},
	} {
		if stage.Duration >= c.StopTimeout {
			errs = append(errs, fmt.Errorf("%s: must be below stop_timeout (%s), is %s", stage.name, c.StopTimeout, stage.Duration))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateKafka() error {
	errs := []error{
		positive("kafka.delivery_timeout", c.Kafka.DeliveryTimeout),
		positive("kafka.start_timeout", c.Kafka.StartTimeout),
		within("kafka.max_buffered_bytes", c.Kafka.MaxBufferedBytes, 4<<20, 1<<40),
	}
	if c.Kafka.Linger < 0 || c.Kafka.Linger > time.Second {
		errs = append(errs, fmt.Errorf("kafka.linger: must be between 0 and 1s, is %s", c.Kafka.Linger))
	}
	for i, b := range c.Kafka.Brokers {
		errs = append(errs, address(fmt.Sprintf("kafka.brokers[%d]", i), b))
	}
	return errors.Join(errs...)
}

func (c *Config) validateRetention() error {
	var errs []error
	for _, k := range []struct {
		name string
		Keep
	}{
		{"readings", c.Retention.Readings},
		{"updates", c.Retention.Updates},
		{"alerts", c.Retention.Alerts},
		{"dead_letters", c.Retention.DeadLetters},
		{"backlog", c.Retention.Backlog},
		{"messages", c.Retention.Messages},
	} {
		errs = append(errs, positive("retention."+k.name+".age", k.Age))
		if k.Bytes <= 0 {
			errs = append(errs, fmt.Errorf("retention.%s.bytes: must be > 0, is %d", k.name, k.Bytes))
		}
	}
	// A pipeline that applies readings anew reads back what it made of them.
	for _, k := range []struct {
		name string
		age  time.Duration
	}{
		{"updates", c.Retention.Updates.Age},
		{"alerts", c.Retention.Alerts.Age},
	} {
		if k.age > 0 && k.age < c.Retention.Readings.Age {
			errs = append(errs, fmt.Errorf("retention.%s.age: must be at least retention.readings.age (%s), is %s",
				k.name, c.Retention.Readings.Age, k.age))
		}
	}
	return errors.Join(errs...)
}

// LoopbackAddress reports whether host:port is reachable from this machine only. A name counts when it is
// localhost; other names may resolve to anything.
func LoopbackAddress(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func address(name, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", name, value)
	}
	return nil
}

func choice(name, value string, options ...string) error {
	if slices.Contains(options, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is none of %s", name, value, strings.Join(options, ", "))
}

func positive(name string, d time.Duration) error {
	if d > 0 {
		return nil
	}
	return fmt.Errorf("%s: must be > 0, is %s", name, d)
}

func within(name string, value, low, high int) error {
	if value >= low && value <= high {
		return nil
	}
	return fmt.Errorf("%s: must be between %d and %d, is %d", name, low, high, value)
}
