import type { Severity } from "@weir/live";
import { BREAK, emptyPoint, emptyUpdate, NO_VERSION, State, type Update } from "@weir/live";
import { type Budget, History } from "./history";

/** A device whose clock is off by more than this, ms, is drawn by arrival time. */
const CLOCK_TOLERANCE = 60_000;
/** How long, ms, a series is kept in front after it was anomalous or alerting. */
export const ATTENTION = 60_000;

/** One series: its newest update, its recent past, and how much attention it deserves. */
export class Series {
  readonly device: string;
  readonly metric: string;
  /** Newest values; n, late and invalid are of the newest row only. */
  readonly latest: Update = emptyUpdate();
  history: History;
  /** Counts since this page has been watching. */
  rows = 0;
  readings = 0;
  leftOut = 0;
  /** Grows with every row: what has been drawn already is compared with it. */
  revision = 0;
  /** Of the gravest open alert on it. */
  severity: Severity | undefined;
  /** Position among all series by name. */
  rank = 0;
  /** Time of the points: of the readings, or of their arrival if the device's clock cannot be used. */
  timeBase: "source" | "arrival" = "source";

  private worstSeen: number = State.ok;
  private worstAt = Number.NEGATIVE_INFINITY;
  private readonly point = emptyPoint();

  constructor(
    readonly name: string,
    budget: Budget,
  ) {
    const slash = name.lastIndexOf("/");
    this.device = slash < 0 ? "" : name.slice(0, slash);
    this.metric = name.slice(slash + 1);
    this.history = new History(budget);
  }

  /** Take a row that follows the ones before; now is the server's time in ms. False if it was known already. */
  accept(u: Readonly<Update>, now: number): boolean {
    const known = this.latest.version;
    if (u.version <= known) return false;
    // After a reconnect the first row may begin later than the last one seen ended: the line breaks there.
    const broken = known !== NO_VERSION && u.since > known;
    this.keep(u);
    if (u.n > 0) this.addPoint(u, broken);
    this.rows++;
    this.readings += u.n;
    this.leftOut += u.late + u.invalid;
    this.revision++;
    if (u.worst >= State.anomalous && (u.worst >= this.worstSeen || now - this.worstAt > ATTENTION)) {
      this.worstSeen = u.worst;
      this.worstAt = now;
    }
    return true;
  }

  /**
   * Its state, with what is open on it: an alert outlasts its condition while it flaps or waits to be sure that it is
   * over. One of severity info leaves the state alone, as it does in the pipeline.
   */
  get state(): number {
    return this.severity && this.severity !== "info" ? State.alert : this.latest.state;
  }

  /** Worst state now or within the last ATTENTION ms. */
  worstRecently(now: number): number {
    const recent = now - this.worstAt <= ATTENTION ? this.worstSeen : State.ok;
    return Math.max(this.state, recent);
  }

  /** Age of the newest reading, ms; NaN if there was none. */
  age(now: number): number {
    return this.latest.ingest_ts > 0 ? Math.max(0, now - this.latest.ingest_ts / 1000) : Number.NaN;
  }

  /** Forget everything but the name: the versions of another epoch mean nothing here. */
  reset(): void {
    Object.assign(this.latest, emptyUpdate());
    this.history.clear();
    this.rows = this.readings = this.leftOut = 0;
    this.worstAt = Number.NEGATIVE_INFINITY;
    this.revision++;
  }

  resize(budget: Budget): void {
    this.history = this.history.resized(budget);
    this.revision++;
  }

  private keep(u: Readonly<Update>): void {
    const { last, min, max, first_ts, last_ts } = this.latest;
    Object.assign(this.latest, u);
    // A row without readings only advances the version: the values stay.
    if (u.n === 0) Object.assign(this.latest, { last, min, max, first_ts, last_ts });
  }

  private addPoint(u: Readonly<Update>, broken: boolean): void {
    const off = Math.abs(u.ingest_ts - u.last_ts) / 1000 > CLOCK_TOLERANCE;
    const base = off && u.ingest_ts > 0 ? "arrival" : "source";
    if (base !== this.timeBase) {
      this.timeBase = base;
      this.history.clear();
    }
    const p = this.point;
    p.time = (base === "arrival" ? u.ingest_ts : u.last_ts) / 1000;
    p.last = u.last;
    p.avg = u.avg;
    p.lo = u.lo;
    p.hi = u.hi;
    p.min = u.min;
    p.max = u.max;
    p.flags = u.worst | (broken ? BREAK : 0);
    this.history.add(p);
  }
}
