import type { AlertMessage, Severity } from "@weir/live";
import { matches } from "@weir/live";

/** What keeps alerts from being news for a while, as /v1/silences has it. Times are in µs. */
export interface Silence {
  readonly id: string;
  /** A pattern. */
  readonly series: string;
  /** None: all. */
  readonly rules?: readonly string[];
  readonly severities?: readonly Severity[];
  readonly from: number;
  readonly until: number;
  readonly by: string;
  readonly comment?: string;
}

/**
 * The silences that may be known here. An alert's own marks are as of its newest transition, so that they miss what
 * was given or ended since: this list is what counts.
 */
export class Silences {
  revision = 0;
  private byId = new Map<string, Silence>();

  /** now: the server's time in ms. */
  constructor(private readonly now: () => number) {}

  set(silences: readonly Silence[]): void {
    this.byId = new Map(silences.map((s) => [s.id, s]));
    this.revision++;
  }

  put(silence: Silence): void {
    this.byId.set(silence.id, silence);
    this.revision++;
  }

  clear(): void {
    this.set([]);
  }

  /** Those in force, the next to end first. */
  active(): Silence[] {
    const now = this.now() * 1000;
    return [...this.byId.values()]
      .filter((s) => s.from <= now && now < s.until)
      .sort((a, b) => a.until - b.until);
  }

  /** Those in force about some alert or other of the series. */
  ofSeries(series: string): Silence[] {
    return this.active().filter((s) => matches(s.series, series));
  }

  ofAlert(alert: AlertMessage): Silence[] {
    return this.ofSeries(alert.series).filter(
      (s) => among(s.rules, alert.rule) && among(s.severities, alert.severity),
    );
  }

  /** Whether one covers the alert. Marks count where the silence itself may not be known here. */
  covers(alert: AlertMessage): boolean {
    return (alert.silences ?? []).some((id) => !this.byId.has(id)) || this.ofAlert(alert).length > 0;
  }
}

function among<T>(some: readonly T[] | undefined, one: T | undefined): boolean {
  return !some || some.length === 0 || (one !== undefined && some.includes(one));
}
