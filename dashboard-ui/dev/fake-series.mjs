// Series with seasons, noise, faults and a simple detector, for the fake server.

const METRICS = [
  { metric: "temperature", base: 64, swing: 5, noise: 0.35, period: 55 },
  { metric: "pressure", base: 4.1, swing: 0.3, noise: 0.02, period: 35 },
  { metric: "vibration", base: 0.8, swing: 0.1, noise: 0.05, period: 13 },
  { metric: "current", base: 118, swing: 22, noise: 1.6, period: 24 },
  { metric: "speed", base: 1480, swing: 40, noise: 4, period: 70 },
  { metric: "valve", base: 0, swing: 0, noise: 0, period: 9 },
];
const WARMING = 60;

/** Uniform random numbers in [0, 1) by seed (mulberry32). */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function makeSeries(count) {
  return Array.from({ length: count }, (_, i) => {
    const kind = METRICS[i % METRICS.length];
    const device = Math.floor(i / METRICS.length);
    const line = Math.floor(device / 4) + 1;
    return new FakeSeries(i, `plant1/line${line}/press${(device % 4) + 1}/${kind.metric}`, kind);
  });
}

class FakeSeries {
  constructor(i, name, kind) {
    Object.assign(this, { i, name, kind, random: random(i + 1), phase: i * 1.7 });
    Object.assign(this, { version: -1, count: 0, mean: Number.NaN, variance: 0, state: 1, alert: null });
    this.fault = { until: 0, size: 0 };
    this.row = null;
  }

  /** Plant a fault of `size` deviations for `seconds`. */
  plant(now, size, seconds) {
    this.fault = { until: now + seconds * 1e6, size };
  }

  value(now) {
    const { kind } = this;
    const t = now / 1e6 + this.phase * 10;
    if (kind.metric === "valve") return Math.floor(t / kind.period) % 2;
    const gauss = this.random() + this.random() + this.random() - 1.5;
    const fault = now < this.fault.until ? this.fault.size * (kind.noise * 2 + kind.swing * 0.5) : 0;
    return (
      kind.base + kind.swing * Math.sin((2 * Math.PI * t) / kind.period) + gauss * kind.noise * 1.6 + fault
    );
  }

  /** One row of n readings that ended now; returns an alert if one was raised or ended. */
  step(now, n, interval) {
    const since = this.version;
    let [min, max, sum, last, score] = [Infinity, -Infinity, 0, 0, 0];
    let worst = 0;
    for (let k = n - 1; k >= 0; k--) {
      last = this.value(now - (k * interval) / n);
      [min, max, sum] = [Math.min(min, last), Math.max(max, last), sum + last];
      score = Math.max(score, this.detect(last));
      worst = Math.max(worst, this.state);
    }
    this.version = since < 0 ? 4096 * (now % 1e6) : since + 4096 * n;
    const sd = Math.sqrt(this.variance) || 0;
    const known = this.count > WARMING && this.kind.swing > 0;
    const band = known ? [this.mean - 4 * sd, this.mean + 4 * sd] : [null, null];
    const first = now - (interval * (n - 1)) / n;
    const head = [this.i, this.version, since, n, 0, 0, first, now, last, min, max, sum];
    this.row = [...head, this.mean, ...band, this.state, score, worst, now + 300, now + 2500];
    return this.transition(now, last, score, band);
  }

  detect(v) {
    this.count++;
    if (this.count === 1) this.mean = v;
    const d = v - this.mean;
    const sd = Math.sqrt(this.variance);
    const z = this.count > WARMING && sd > 0 && this.kind.swing > 0 ? Math.abs(d) / sd : 0;
    const clipped = sd > 0 && this.count > WARMING ? Math.max(-3 * sd, Math.min(3 * sd, d)) : d;
    this.mean += 0.04 * clipped;
    this.variance = 0.985 * (this.variance + 0.015 * clipped * clipped);
    this.state = this.count <= WARMING ? 1 : z > 6 ? 4 : z > 4 ? 3 : 0;
    return z > 0 ? Math.min(1, z / 8) : 0;
  }

  transition(now, value, score, [lo, hi]) {
    this.samples = [...(this.samples ?? []).slice(-47), { ts: now, value }];
    if (this.state === 4 && !this.alert) {
      const summary = `${this.name.split("/").at(-1)} is far ${value > hi ? "above" : "below"} its expected band`;
      const where = { id: `0-${this.i}-${this.version}`, rule: "deviation", series: this.name };
      const when = { version: this.version, raised: this.version, started_ts: now, ts: now };
      const severity = ["critical", "warning", "info"][this.i % 3];
      // Every fourth comes and goes, and every fifth has a limit.
      const phase = this.i % 4 === 1 ? "flapping" : "firing";
      this.alert = {
        ...where,
        ...when,
        phase,
        reason: phase === "firing" ? "raised" : "flapping",
        severity,
        ...{ value, score, lo, hi, limit: this.i % 5 === 0 ? hi + (hi - lo) : null },
        detector: this.i % 5 === 0 ? "threshold" : "deviation",
        summary,
        labels: { team: "press shop", line: this.name.split("/")[1] },
        annotations: { runbook: "https://example.org/runbooks/press" },
        samples: this.samples,
        quality: { n: this.count, late: 3, invalid: 1, gap_us: 480_000 },
        flaps: phase === "flapping" ? { count: 5, period_us: 600e6 } : { count: 1, period_us: 600e6 },
        link: `#/series/${this.name}?at=${now}`,
      };
      return this.alert;
    }
    const lasts = this.alert?.acknowledged || this.alert?.comments ? 60e6 : 15e6;
    if (this.alert && this.state !== 4 && now - this.alert.ts > lasts) {
      const over = { ...this.alert, phase: "resolved", reason: "cleared", version: this.version, ts: now };
      this.alert = null;
      return over;
    }
    return null;
  }

  /** What somebody does to the open alert; returns its transition. */
  act(now, action, body, by) {
    const note = { by, time: now, text: body.comment ?? body.text };
    const changes = {
      ack: { phase: "acknowledged", reason: "acknowledged", acknowledged: note },
      unack: { phase: "firing", reason: "unacknowledged", acknowledged: undefined },
      comment: { reason: "commented", comments: [...(this.alert.comments ?? []), note] },
      assign: { reason: "assigned", assignee: body.to },
      silence: { silences: [body.id] },
    };
    this.alert = { ...this.alert, ...changes[action], version: this.version + 1 };
    return this.alert;
  }
}
