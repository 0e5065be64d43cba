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
)

// Roles a process can have.
const (
	RoleIngest   = "ingest"
	RolePipeline = "pipeline"
	RolePush     = "push"
	RoleBridge   = "bridge"
)

// Roles lists all roles in the order of the flow.
func Roles() []string { return []string{RoleIngest, RolePipeline, RolePush, RoleBridge} }

// Config is everything an operator can set.
type Config struct {
	// Listen is the address devices, dashboards and operators connect to.
	Listen string `koanf:"listen"`
	// AdminListen is the address of the profiler (net/http/pprof), on loopback always, or "off".
	AdminListen string `koanf:"admin_listen"`
	// Data is the directory of what has to survive a restart: with the embedded broker, everything (and the
	// default is "data"); with a cluster, only which one it is. Empty with a cluster: that is not checked.
	Data string `koanf:"data"`
	// Roles of this process. All by default; without one of ingest, pipeline and push it needs Kafka.Brokers.
	Roles []string `koanf:"roles"`
	// InsecureOpen asks for no credentials: anyone who reaches Listen may read and write. Every page warns.
	// Which web pages may connect is AllowedOrigins' to say all the same.
	InsecureOpen bool `koanf:"insecure_open"`
	// PublicMetrics shows GET /metrics to everybody; else to operators.
	PublicMetrics bool `koanf:"public_metrics"`
	// AllowedOrigins are web pages, other than Weir's own, that may connect: scheme://host[:port], or
	// EveryOrigin.
	AllowedOrigins []string `koanf:"allowed_origins"`
	// AllowedHosts are names, other than loopback's, under which a loopback server may be asked, as behind
	// a proxy: it refuses the rest, which is how a foreign page would reach it (DNS rebinding).
	AllowedHosts []string `koanf:"allowed_hosts"`
	// TrustedProxies are addresses and networks of proxies in front, whose X-Forwarded-For is believed: limits per
	// address then count the clients behind them.
	TrustedProxies []string `koanf:"trusted_proxies"`
	// HeaderTimeout bounds how long a request's line and headers may take to come, MaxHeaderBytes how long they may be.
	HeaderTimeout  time.Duration `koanf:"header_timeout"`
	MaxHeaderBytes int           `koanf:"max_header_bytes"`
	// TLS of Listen.
	TLS TLS `koanf:"tls"`
	// PipelinesFile declares what is done with which series. It is read again when it changes. Empty: pipelines.yaml in
	// Data, if it is there.
	PipelinesFile string `koanf:"pipelines_file"`
	// Partitions is into how many partitions each topic is divided, for ever. 0: as the topics have it, 4
	// when they are made.
	Partitions int `koanf:"partitions"`
	// MaxSockets is how many TCP connections may be open to Listen, of devices, dashboards and others. 0, and at
	// most: what the process's limit of open files leaves room for. Further ones wait.
	MaxSockets int `koanf:"max_sockets"`
	// StopTimeout bounds each step of a graceful stop.
	StopTimeout time.Duration `koanf:"stop_timeout"`

	Kafka     Kafka           `koanf:"kafka"`
	Embedded  embedded.Config `koanf:"embedded"`
	Retention Retention       `koanf:"retention"`
	Ingest    ingest.Config   `koanf:"ingest"`
	Pipeline  pipeline.Config `koanf:"pipeline"`
	Push      push.Config     `koanf:"push"`
	Rooms     rooms.Config    `koanf:"rooms"`
	Commands  commands.Config `koanf:"commands"`
	Bridges   bridge.Config   `koanf:"bridges"`
	Devices   devices.Config  `koanf:"devices"`
	Auth      auth.Config     `koanf:"auth"`
	Log       Log             `koanf:"log"`
}

// TLS says with which certificate Listen is served. The files are read anew when they change.
type TLS struct {
	// CertFile and KeyFile are PEM: the chain, and its private key. None: no TLS.
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	// ClientCAFile (PEM) holds the authorities whose client certificates count as credentials.
	ClientCAFile string `koanf:"client_ca_file"`
	// ClientCertificates is optional, or required of every client.
	ClientCertificates string `koanf:"client_certificates"`
}

// Values of TLS.ClientCertificates.
const (
	CertificatesOptional = "optional"
	CertificatesRequired = "required"
)

// Kafka says which cluster is used and how ingest writes to it.
type Kafka struct {
	// Brokers are the addresses of a cluster. None: the embedded broker.
	Brokers []string `koanf:"brokers"`
	// ReplicationFactor of topics that are made. 0: the cluster's default.
	ReplicationFactor int `koanf:"replication_factor"`
	// Linger bounds ingest to one request per partition per so long; the first goes at once.
	Linger time.Duration `koanf:"linger"`
	// DeliveryTimeout is after how long without acknowledgement a device is told to send again.
	DeliveryTimeout time.Duration `koanf:"delivery_timeout"`
	// MaxBufferedBytes bounds what ingest holds unacknowledged; beyond it sockets are not read.
	MaxBufferedBytes int `koanf:"max_buffered_bytes"`
	// StartTimeout bounds how long a start waits for the cluster.
	StartTimeout time.Duration `koanf:"start_timeout"`
}

// Retention bounds the topics that are not compacted. It is given to topics when they are made, and kept
// to by the embedded broker from every start on.
type Retention struct {
	Readings    Keep `koanf:"readings"`
	Updates     Keep `koanf:"updates"`
	Alerts      Keep `koanf:"alerts"`
	DeadLetters Keep `koanf:"dead_letters"`
	Backlog     Keep `koanf:"backlog"`
	Messages    Keep `koanf:"messages"`
}

// Keep bounds one topic.
type Keep struct {
	Age time.Duration `koanf:"age"`
	// Bytes is per partition.
	Bytes int64 `koanf:"bytes"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `koanf:"level"`
	// Format is text or json.
	Format string `koanf:"format"`
}
