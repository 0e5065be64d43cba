import type { AlertMessage, ErrorMessage, Severity, Stats, Update, Updates, Welcome } from "@weir/live";
import { matches } from "@weir/live";
import type { SessionSink } from "../live/session";
import { AlertFeed } from "./alerts";
import { type Budget, budgetFor } from "./history";
import { RateMeter } from "./rates";
import { Series } from "./series";
import { Silences } from "./silences";

const byName = new Intl.Collator("en", { numeric: true });

/** Everything the page knows. Views read from it when they draw; nothing in it is reactive. */
export class Store implements SessionSink<Series> {
  readonly silences = new Silences(() => this.now());
  readonly alerts = new AlertFeed(this.silences);
  readonly rows: RateMeter;
  readonly readings: RateMeter;
  readonly bytes: RateMeter;
  epoch = "";
  /** When the session ends, ms, if that is soon; 0: it is not. */
  expiresAt = 0;
  insecure = false;
  /** What the server refused last. */
  lastProblem: ErrorMessage | null = null;
  /** Newest ingest time of any reading, server's clock, ms; 0 before the first. */
  newestReading = 0;
  /** When and why readings were last known by their end only, ms by the page's clock; null: not since it was opened. */
  lastResync: { readonly at: number; readonly reason: string } | null = null;
  /** What the server counted of this connection last. */
  figures: Stats | null = null;
  /** Newest push time, server's clock, ms. */
  newestPush = 0;

  private readonly byKey = new Map<string, Series>();
  /** The gravest open alert by series, of which some may have sent no reading yet. */
  private worst: ReadonlyMap<string, Severity> = new Map();
  private sorted: Series[] = [];
  private sortedStale = false;
  private budget: Budget = budgetFor(0);
  /** Server's clock minus ours, ms. */
  private skew = 0;

  constructor(private readonly clock: () => number = Date.now) {
    const now = clock();
    this.rows = new RateMeter(now);
    this.readings = new RateMeter(now);
    this.bytes = new RateMeter(now);
  }

  /** The server's time in ms, as far as it is known here. */
  now(): number {
    return this.clock() + this.skew;
  }

  get size(): number {
    return this.byKey.size;
  }

  get(name: string): Series | undefined {
    return this.byKey.get(name);
  }

  /** All series by name, numbers in it by value. Do not change the array. */
  all(): readonly Series[] {
    if (this.sortedStale) {
      this.sorted = [...this.byKey.values()].sort((a, b) => byName.compare(a.name, b.name));
      for (const [rank, series] of this.sorted.entries()) series.rank = rank;
      this.sortedStale = false;
    }
    return this.sorted;
  }

  /** Age of the newest reading of all, ms; NaN before the first. */
  dataAge(): number {
    return this.newestReading > 0 ? Math.max(0, this.now() - this.newestReading) : Number.NaN;
  }

  /** Forget all readings and alerts: somebody else may look next. */
  clear(): void {
    this.restrict([]);
    this.silences.clear();
    this.lastProblem = null;
    this.lastResync = null;
    this.figures = null;
    this.expiresAt = 0;
  }

  /** Keep only series that one of the patterns selects, and no alerts: those come anew. */
  restrict(patterns: readonly string[]): void {
    const selected = (name: string) => patterns.some((p) => matches(p, name));
    for (const name of this.byKey.keys()) if (!selected(name)) this.byKey.delete(name);
    this.sortedStale = true;
    this.alerts.clear();
    this.newestReading = 0;
    this.foldAlerts();
    for (const s of this.byKey.values())
      this.newestReading = Math.max(this.newestReading, s.latest.ingest_ts / 1000);
  }

  welcome(welcome: Welcome): void {
    this.skew = welcome.server_time / 1000 - this.clock();
    this.insecure = welcome.insecure === true;
    if (this.epoch !== welcome.epoch && this.epoch !== "") {
      for (const series of this.byKey.values()) series.reset();
      this.alerts.clear();
      this.foldAlerts();
      this.resync("epoch_changed");
    }
    this.epoch = welcome.epoch;
    this.lastProblem = null;
    this.expiresAt = 0;
  }

  expiring(at: string): void {
    this.expiresAt = Date.parse(at) || 0;
  }

  authenticated(): void {
    this.expiresAt = 0;
  }

  open(name: string): Series {
    let series = this.byKey.get(name);
    if (!series) {
      this.fit(this.byKey.size + 1);
      series = new Series(name, this.budget);
      series.severity = this.worst.get(name);
      this.byKey.set(name, series);
      this.sortedStale = true;
    }
    return series;
  }

  accept(series: Series, u: Readonly<Update>): void {
    if (!series.accept(u, this.now())) return;
    const now = this.clock();
    this.rows.add(1, now);
    this.readings.add(u.n, now);
    const ingest = u.ingest_ts / 1000;
    if (ingest > this.newestReading) this.newestReading = ingest;
  }

  remove(series: Series): void {
    if (this.byKey.get(series.name) !== series) return;
    this.byKey.delete(series.name);
    this.sortedStale = true;
  }

  resync(reason: string): void {
    this.lastResync = { at: this.clock(), reason };
  }

  snapshot(alerts: readonly AlertMessage[], pushTime: number): void {
    this.alerts.setOpen(alerts);
    this.foldAlerts();
    this.pushed(pushTime);
  }

  frame(frame: Updates, bytes: number): void {
    this.bytes.add(bytes, this.clock());
    this.pushed(frame.push_ts);
  }

  alert(alert: AlertMessage): void {
    this.alerts.add(alert);
    this.foldAlerts();
  }

  problem(error: ErrorMessage): void {
    this.lastProblem = error;
  }

  /** Put the open alerts on their series. */
  private foldAlerts(): void {
    const before = this.worst;
    this.worst = this.alerts.worst();
    for (const name of new Set([...before.keys(), ...this.worst.keys()])) {
      const series = this.byKey.get(name);
      if (series) series.severity = this.worst.get(name);
    }
  }

  private pushed(pushTime: number): void {
    const push = pushTime / 1000;
    if (push > this.newestPush) this.newestPush = push;
    // A frame cannot arrive before it was sent: the clocks differ by at least this much.
    if (push > this.now()) this.skew = push - this.clock();
  }

  /** Make room for that many series. */
  private fit(series: number): void {
    const budget = budgetFor(series);
    if (budget.fine === this.budget.fine) return;
    this.budget = budget;
    for (const s of this.byKey.values()) s.resize(budget);
  }
}
