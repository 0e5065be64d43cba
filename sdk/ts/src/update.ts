/** The Update, a mergeable summary of an interval of one series: the counterpart of telemetry/update.go. */

/** State of a series; the numbers grow with how bad it is, so the worst of several is their maximum. */
export const State = { ok: 0, warming: 1, offline: 2, anomalous: 3, alert: 4 } as const;
export type State = (typeof State)[keyof typeof State];

export const STATE_NAMES = ["ok", "warming", "offline", "anomalous", "alert"] as const;
export type StateName = (typeof STATE_NAMES)[number];

export function stateName(state: number): StateName {
  return STATE_NAMES[state] ?? "ok";
}

/** Since of the first update of a series. */
export const NO_VERSION = -1;

/** Field names are the wire's. avg, lo and hi are NaN while unknown; with n = 0 so are last, min and max. */
export interface Update {
  version: number;
  since: number;
  n: number;
  late: number;
  invalid: number;
  first_ts: number;
  last_ts: number;
  last: number;
  min: number;
  max: number;
  sum: number;
  avg: number;
  lo: number;
  hi: number;
  state: number;
  score: number;
  worst: number;
  ingest_ts: number;
  emit_ts: number;
}

export function emptyUpdate(): Update {
  return {
    version: NO_VERSION,
    since: NO_VERSION,
    n: 0,
    late: 0,
    invalid: 0,
    first_ts: 0,
    last_ts: 0,
    last: Number.NaN,
    min: Number.NaN,
    max: Number.NaN,
    sum: 0,
    avg: Number.NaN,
    lo: Number.NaN,
    hi: Number.NaN,
    state: State.ok,
    score: 0,
    worst: State.ok,
    ingest_ts: 0,
    emit_ts: 0,
  };
}

export type Relation = "contiguous" | "replay" | "gap" | "overlap";

/** Relate an update to the last version seen of its series (NO_VERSION when none was). */
export function follow(u: Pick<Update, "since" | "version">, seen: number): Relation {
  if (u.since === seen) return "contiguous";
  if (u.version <= seen) return "replay";
  return u.since > seen ? "gap" : "overlap";
}

/** Extend u by next, which must begin where u ends; false, and u unchanged, if it does not. */
export function merge(u: Update, next: Readonly<Update>): boolean {
  if (u.version !== next.since) return false;
  mergeValues(u, next);
  u.version = next.version;
  u.late += next.late;
  u.invalid += next.invalid;
  u.avg = next.avg;
  u.lo = next.lo;
  u.hi = next.hi;
  u.state = next.state;
  u.score = Math.max(u.score, next.score);
  u.worst = Math.max(u.worst, next.worst);
  u.ingest_ts = Math.max(u.ingest_ts, next.ingest_ts);
  u.emit_ts = Math.max(u.emit_ts, next.emit_ts);
  return true;
}

function mergeValues(u: Update, next: Readonly<Update>): void {
  if (next.n === 0) return;
  if (u.n === 0) {
    u.n = next.n;
    u.first_ts = next.first_ts;
    u.last_ts = next.last_ts;
    u.last = next.last;
    u.min = next.min;
    u.max = next.max;
    u.sum = next.sum;
    return;
  }
  u.n += next.n;
  u.first_ts = Math.min(u.first_ts, next.first_ts);
  // All of next has higher versions than all of u, so equal times go to next.
  if (next.last_ts >= u.last_ts) {
    u.last_ts = next.last_ts;
    u.last = next.last;
  }
  u.min = Math.min(u.min, next.min);
  u.max = Math.max(u.max, next.max);
  u.sum += next.sum;
}
