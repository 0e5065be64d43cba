package sim

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"

	"weir/telemetry"
)

// hostEvery is how often the host is measured.
const hostEvery = time.Second

// Host measures this machine once a second, as device host/<hostname>. What the system does not tell is
// left out.
type Host struct {
	device   string
	next     time.Time
	readings []telemetry.Reading
	rates    rates
}

// NewHost names the device after the machine.
func NewHost() (*Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host metrics: %w", err)
	}
	return &Host{device: "host/" + segment(name)}, nil
}

// Device implements Source.
func (h *Host) Device() string { return h.device }

// Step implements Source.
func (h *Host) Step(now time.Time) Step {
	if now.Before(h.next) {
		return Step{Next: h.next}
	}
	first := h.next.IsZero()
	h.next = now.Add(hostEvery)
	h.readings = h.readings[:0]
	h.measure(now)
	if first {
		// The first measurement is only what later ones are compared with.
		return Step{Next: h.next}
	}
	return Step{Readings: h.readings, Next: h.next}
}

func (h *Host) measure(now time.Time) {
	add := func(metric string, value float64) {
		h.readings = append(h.readings, telemetry.Reading{Metric: metric, Time: now.UnixMicro(), Value: value})
	}
	// An interval of zero compares with the call before.
	if percent, err := cpu.Percent(0, false); err == nil && len(percent) == 1 {
		add("cpu_percent", percent[0])
	}
	if avg, err := load.Avg(); err == nil {
		add("load_1m", avg.Load1)
	}
	if m, err := mem.VirtualMemory(); err == nil {
		add("memory_used_percent", m.UsedPercent)
		add("memory_available_bytes", float64(m.Available))
	}
	if usage, err := disk.Usage("/"); err == nil {
		add("disk_used_percent", usage.UsedPercent)
	}
	h.rates.begin(now)
	if counters, err := disk.IOCounters(); err == nil {
		var read, written uint64
		for name, c := range counters {
			if partition(name, counters) {
				continue
			}
			read += c.ReadBytes
			written += c.WriteBytes
		}
		h.rates.add("disk_read_bytes_per_second", read, add)
		h.rates.add("disk_write_bytes_per_second", written, add)
	}
	if counters, err := net.IOCounters(true); err == nil {
		var received, sent uint64
		for _, c := range counters {
			if c.Name == "lo" || c.Name == "lo0" {
				continue
			}
			received += c.BytesRecv
			sent += c.BytesSent
		}
		h.rates.add("network_receive_bytes_per_second", received, add)
		h.rates.add("network_send_bytes_per_second", sent, add)
	}
}

// partition reports whether name is a part of another disk in the set, whose traffic it would double:
// sda1 of sda, nvme0n1p2 of nvme0n1.
func partition(name string, disks map[string]disk.IOCountersStat) bool {
	whole := strings.TrimRight(name, "0123456789")
	if whole == name {
		return false
	}
	if _, ok := disks[whole]; ok {
		return true
	}
	_, ok := disks[strings.TrimSuffix(whole, "p")]
	return ok && strings.HasSuffix(whole, "p")
}

// rates turns counters into rates per second.
type rates struct {
	before  map[string]uint64
	at      time.Time
	seconds float64
}

func (r *rates) begin(now time.Time) {
	if r.before == nil {
		r.before = make(map[string]uint64)
	}
	r.seconds = now.Sub(r.at).Seconds()
	r.at = now
}

// add reports the rate of the counter since the last time; not the first time, and not when the counter
// went back (a device was unplugged).
func (r *rates) add(metric string, counter uint64, report func(string, float64)) {
	before, known := r.before[metric]
	r.before[metric] = counter
	if known && counter >= before && r.seconds > 0 {
		report(metric, float64(counter-before)/r.seconds)
	}
}

// segment makes name fit to be one segment of a device path.
func segment(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '+' || r == '#' || r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return '-'
		}
		return r
	}, name)
	name = strings.TrimLeft(name, "_")
	if name == "" {
		return "unnamed"
	}
	return name
}
