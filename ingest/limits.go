package ingest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"weir/auth"
	"weir/wire"
)

// Limits are how many readings per second are taken, at four levels. A frame counts in full or not at all: refused
// ones cost nothing.
type Limits struct {
	// Device is for each device, Key for each holder of credentials (an API key, or a token's subject), Tenant
	// for each first segment, Global for this server.
	Device Limit `koanf:"device"`
	Key    Limit `koanf:"key"`
	Tenant Limit `koanf:"tenant"`
	Global Limit `koanf:"global"`
	// Remembered is of how many devices, keys and tenants each the use is remembered, about 100 bytes each.
	Remembered int `koanf:"remembered"`
}

func defaultLimits() Limits {
	return Limits{
		Device:     Limit{Rate: 10_000, Burst: 20_000},
		Key:        Limit{Rate: 200_000, Burst: 400_000},
		Remembered: 1 << 16,
	}
}

func (l *Limits) validate() error {
	return errors.Join(
		l.Device.validate("limits.device"),
		l.Key.validate("limits.key"),
		l.Tenant.validate("limits.tenant"),
		l.Global.validate("limits.global"),
		within("limits.remembered", l.Remembered, 2*bucketShards, 1<<24),
	)
}

func (l Limit) validate(name string) error {
	if l.Rate == 0 && l.Burst == 0 {
		return nil
	}
	return errors.Join(within(name+".rate", l.Rate, 0, 1<<30), within(name+".burst", l.Burst, 1, 1<<30))
}

// level is one of the limits.
type level uint8

const (
	perDevice level = iota
	perKey
	perTenant
	perServer
	inBacklog // the backlog's own, of all devices together
	levels
)

// levelNames are what metrics and trackers call them.
var levelNames = [levels]string{"device", "key", "tenant", "global", "backlog"}

var levelErrors = [levels]*wire.Error{
	wire.NewError(wire.CodeLimitDevice, ""),
	wire.NewError(wire.CodeLimitKey, ""),
	wire.NewError(wire.CodeLimitTenant, ""),
	wire.NewError(wire.CodeLimitGlobal, ""),
	{Code: wire.CodeLimitGlobal, Message: "all devices together send more backlog than this server takes beside what is live"},
}

// limiter has the buckets of a lane; nil where there is no limit.
type limiter struct {
	device, key, tenant *buckets
	all                 bucket // of the lane
	pacer               pacer
	limited             bool // all counts
	level               level
	off                 bool
}

func newLimiter(l *Limits, all Limit, level level) *limiter {
	m := &limiter{
		device: newBuckets(l.Device, l.Remembered), key: newBuckets(l.Key, l.Remembered),
		tenant: newBuckets(l.Tenant, l.Remembered), level: level,
	}
	if m.limited = all.Rate > 0; m.limited {
		m.pacer = newPacer(all)
	}
	m.off = m.device == nil && m.key == nil && m.tenant == nil && !m.limited
	return m
}

// quota is a connection's view of a limiter: the buckets it used last, and those that the frame at hand has taken
// from. It is not safe for concurrent use.
type quota struct {
	device, key, tenant known
	taken               []taking
	who                 *auth.Principal // of holder
	holder              string
}

type taking struct {
	b    *bucket
	cost int64
}

// charge is what a frame costs one of its devices.
type charge struct {
	device string
	n      int
}

// take takes from all buckets that a frame concerns, or from none: then it says which of them refused, and for how
// long, in ns. It may put the charges into another order.
func (q *quota) take(m *limiter, who *auth.Principal, charges []charge, now int64) (refused level, wait int64) {
	q.taken = q.taken[:0]
	refused, wait = q.takeAll(m, who, charges, now)
	if wait > 0 {
		q.giveBack()
	}
	return refused, wait
}

// giveBack undoes the last take.
func (q *quota) giveBack() {
	for _, t := range q.taken {
		t.b.giveBack(t.cost)
	}
	q.taken = q.taken[:0]
}

func (q *quota) shrink() {
	if cap(q.taken) > keepDevices {
		q.taken = nil
	}
}

func (q *quota) takeAll(m *limiter, who *auth.Principal, charges []charge, now int64) (level, int64) {
	total := 0
	for i := range charges {
		c := &charges[i]
		total += c.n
		if m.device == nil || c.device == "" {
			continue
		}
		if wait := q.from(m.device.find(&q.device, c.device), &m.device.pacer, c.n, now); wait > 0 {
			return perDevice, wait
		}
	}
	if m.key != nil && who != nil && who.Method != auth.MethodNone {
		if wait := q.from(m.key.find(&q.key, q.holderOf(who)), &m.key.pacer, total, now); wait > 0 {
			return perKey, wait
		}
	}
	if m.tenant != nil {
		if wait := q.takeTenants(m, charges, now); wait > 0 {
			return perTenant, wait
		}
	}
	if m.limited {
		return m.level, q.from(&m.all, &m.pacer, total, now)
	}
	return 0, 0
}

// takeTenants counts all devices of a tenant as one. If it took twice from a bucket, a frame of more than the burst,
// for which that must be full, could never pass.
func (q *quota) takeTenants(m *limiter, charges []charge, now int64) int64 {
	if !slices.IsSortedFunc(charges, byTenant) {
		slices.SortFunc(charges, byTenant)
	}
	for i := 0; i < len(charges); {
		tenant, n := tenantOf(charges[i].device), 0
		for ; i < len(charges) && tenantOf(charges[i].device) == tenant; i++ {
			n += charges[i].n
		}
		if tenant == "" {
			continue
		}
		if wait := q.from(m.tenant.find(&q.tenant, tenant), &m.tenant.pacer, n, now); wait > 0 {
			return wait
		}
	}
	return 0
}

func (q *quota) from(b *bucket, p *pacer, n int, now int64) (wait int64) {
	if wait = b.take(p, n, now); wait == 0 {
		q.taken = append(q.taken, taking{b, p.cost(n)})
	}
	return wait
}

// holder is what the key's limit counts by: all tokens of a subject, and all secrets of a key, are one. Subjects are
// the tenants' own to choose.
func holder(p *auth.Principal) string {
	if p.KeyID != "" {
		return "key\x00" + p.Tenant + "\x00" + p.KeyID
	}
	return "subject\x00" + p.Tenant + "\x00" + p.Subject
}

// holderOf saves making the name for a connection, on which the same principal speaks for long.
func (q *quota) holderOf(p *auth.Principal) string {
	if q.who != p {
		q.who, q.holder = p, holder(p)
	}
	return q.holder
}

func byTenant(a, b charge) int { return strings.Compare(tenantOf(a.device), tenantOf(b.device)) }

func tenantOf(device string) string {
	tenant, _, _ := strings.Cut(device, "/")
	return tenant
}

// monotonic is the clock of buckets, in ns: setting the machine's clock neither fills nor drains them.
func (g *gates) monotonic() int64 { return int64(time.Since(g.born)) }

// charge adds readings to what the frame costs in a lane.
func (e *encoder) charge(which lane, device string, n int) {
	if n > 0 {
		e.charges[which] = append(e.charges[which], charge{device, n})
	}
}

// chargeRefused adds readings that are not stored to what the frame costs in its lane: they have cost work, and are
// kept as dead letters. They count for the device that the frame is about, as far as that is known.
func (e *encoder) chargeRefused(which lane, n int) {
	if n > 0 && len(e.charges[which]) > 0 {
		e.charges[which][0].n += n
		return
	}
	e.charge(which, e.own, n)
}

// limited refuses a frame that finds a bucket too empty. What is late in it is charged to the backlog, whatever else
// it holds.
func (e *encoder) limited(r *receipt) bool {
	e.clock = e.srv.monotonic()
	for which := range e.charges {
		q, m, charges := &e.quotas[which], e.srv.limits[which], e.charges[which]
		q.taken = q.taken[:0]
		if m.off || len(charges) == 0 {
			continue
		}
		at, wait := q.take(m, e.principal, charges, e.clock)
		if wait == 0 {
			continue
		}
		for before := range which {
			e.quotas[before].giveBack()
		}
		e.srv.metrics.limited[at].Inc()
		r.refuse(levelErrors[at], (wait+int64(time.Millisecond)-1)/int64(time.Millisecond), true)
		return true
	}
	return false
}

// knownBuckets is how many buckets are remembered.
func (g *gates) knownBuckets() int {
	n := 0
	for _, m := range g.limits {
		for _, b := range []*buckets{m.device, m.key, m.tenant} {
			if b != nil {
				n += b.len()
			}
		}
	}
	return n
}
