import type { AlertMessage, Severity } from "@weir/live";
import type { Silences } from "./silences";

/** An alert as the feed shows it: its newest transition. */
export interface FeedEntry {
  readonly alert: AlertMessage;
  /** It ended while this page was not connected: known from its absence among the open ones. */
  readonly endedUnseen: boolean;
}

/** Newest transition of each alert, newest first. Beyond limit only open ones are kept, as they are counted; most is the bound of all. */
export class AlertFeed {
  revision = 0;
  /** Id of the alert that somebody looks at, which stays; "": none. */
  shown = "";
  private entries = new Map<string, FeedEntry>();

  constructor(
    private readonly silences: Silences,
    private readonly limit = 200,
    private readonly most = 2_000,
  ) {}

  get size(): number {
    return this.entries.size;
  }

  list(): FeedEntry[] {
    return [...this.entries.values()].sort((a, b) => b.alert.ts - a.alert.ts);
  }

  get(id: string): FeedEntry | undefined {
    return this.entries.get(id);
  }

  /** How many want somebody's attention. */
  firing(): number {
    let n = 0;
    for (const entry of this.entries.values()) if (this.isPressing(entry)) n++;
    return n;
  }

  /** Open, and neither in somebody's hands nor kept quiet by a silence or by a graver alert that stands for it. */
  isPressing(entry: FeedEntry): boolean {
    const { alert } = entry;
    const inHand = alert.acknowledged || alert.phase === "acknowledged";
    return isOpen(entry) && !inHand && !alert.inhibited_by && !this.silences.covers(alert);
  }

  /** The gravest open alert of each series that has one. Without a severity, of earlier servers, it counts as a warning. */
  worst(): ReadonlyMap<string, Severity> {
    const worst = new Map<string, Severity>();
    for (const entry of this.entries.values()) {
      if (!isOpen(entry)) continue;
      const { series, severity = "warning" } = entry.alert;
      if (gravity(severity) > gravity(worst.get(series))) worst.set(series, severity);
    }
    return worst;
  }

  add(alert: AlertMessage): void {
    const known = this.entries.get(alert.id);
    if (known && !known.endedUnseen && known.alert.version > alert.version) return;
    this.entries.set(alert.id, { alert, endedUnseen: false });
    this.trim();
    this.revision++;
  }

  /** All open alerts of a new subscription: what was open before and is not among them has ended. */
  setOpen(alerts: readonly AlertMessage[]): void {
    const open = new Set(alerts.map((a) => a.id));
    for (const [id, entry] of this.entries) {
      if (isOpen(entry) && !open.has(id)) this.entries.set(id, { ...entry, endedUnseen: true });
    }
    for (const alert of alerts) this.add(alert);
    this.revision++;
  }

  clear(): void {
    this.entries.clear();
    this.revision++;
  }

  private trim(): void {
    if (this.entries.size <= this.limit) return;
    const victim =
      this.oldest((e) => !isOpen(e)) ?? (this.entries.size > this.most ? this.oldest(isOpen) : undefined);
    if (victim) this.entries.delete(victim.alert.id);
  }

  private oldest(of: (entry: FeedEntry) => boolean): FeedEntry | undefined {
    let oldest: FeedEntry | undefined;
    for (const entry of this.entries.values()) {
      if (entry.alert.id === this.shown || !of(entry)) continue;
      if (!oldest || entry.alert.ts < oldest.alert.ts) oldest = entry;
    }
    return oldest;
  }
}

const GRAVITY: Record<Severity, number> = { info: 1, warning: 2, critical: 3 };

/** How grave an open alert is; 0: there is none. */
export function gravity(severity: Severity | undefined): number {
  return severity ? (GRAVITY[severity] ?? 0) : 0;
}

export function isOpen(entry: FeedEntry): boolean {
  return entry.alert.phase !== "resolved" && !entry.endedUnseen;
}
