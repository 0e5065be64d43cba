import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import type { Http } from "./http.ts";
import { matches } from "./matches.ts";
import { Optimistic } from "./optimistic.ts";
import type { AlertMessage } from "./protocol.ts";
import { Waiters } from "./waiters.ts";

export interface AlertEvents {
  /** A transition that was not known yet; once each, older ones than the newest known left out. */
  transition: AlertMessage;
  /** An alert looks different: a transition, or a change of one's own that is shown before it is confirmed. */
  changed: string;
  /** It ended while there was no connection: known from its absence among the open ones. */
  ended: AlertMessage;
}

/** Resolved alerts that are remembered, so that what is told again is known. */
const RESOLVED_LIMIT = 1000;

/** Newest transition of each alert of what is subscribed to, and what people do about them. */
export class Alerts extends Emitter<AlertEvents> {
  private readonly book = new Optimistic<AlertMessage>(
    (a) => a.version,
    (id) => this.emit("changed", id),
  );
  private readonly waiters: Waiters;
  /** Ids of resolved ones, oldest first. */
  private readonly resolved = new Set<string>();

  constructor(
    private readonly http: Http,
    clock: Clock,
  ) {
    super();
    this.waiters = new Waiters(clock);
  }

  /** All that are open, as they are shown. */
  open(): AlertMessage[] {
    const all = [...this.book.keys()].map((id) => this.book.get(id) as AlertMessage);
    return all.filter((a) => a.phase !== "resolved");
  }

  get(id: string): AlertMessage | undefined {
    return this.book.get(id);
  }

  /** Whether what get shows waits for the server. */
  pending(id: string): boolean {
    return this.book.pending(id);
  }

  /** Resolves when the alert has reached the version; see Subscription.waitFor. */
  waitFor(id: string, version: number, ms: number): Promise<number> {
    const seen = this.book.confirmed(id)?.version ?? -1;
    return seen >= version ? Promise.resolve(seen) : this.waiters.wait(id, version, ms);
  }

  /** Each resolves with the transition's version once the server has stored it, or throws Refused. */
  acknowledge(id: string, comment?: string): Promise<number> {
    const note = { by: "", time: 0, text: comment };
    return this.act(id, "ack", { comment }, (a) => ({
      ...a,
      phase: "acknowledged",
      acknowledged: note,
    }));
  }

  unacknowledge(id: string): Promise<number> {
    return this.act(id, "unack", {}, ({ acknowledged: _, ...a }) => ({ ...a, phase: "firing" }));
  }

  comment(id: string, text: string): Promise<number> {
    return this.act(id, "comment", { text }, (a) => ({
      ...a,
      comments: [...(a.comments ?? []), { by: "", time: 0, text }],
    }));
  }

  /** "" is nobody. */
  assign(id: string, to: string): Promise<number> {
    return this.act(id, "assign", { to }, (a) => ({ ...a, assignee: to }));
  }

  /** Take a transition. */
  take(alert: AlertMessage): void {
    if (!this.book.set(alert.id, alert)) return;
    this.resolved.delete(alert.id);
    if (alert.phase === "resolved") this.remember(alert.id);
    this.waiters.saw(alert.id, alert.version);
    this.emit("transition", alert);
  }

  /** Take all that are open of what the patterns select, perhaps after what was missed: others of them have ended. */
  snapshot(alerts: readonly AlertMessage[], patterns: readonly string[]): void {
    const open = new Set(alerts.map((a) => a.id));
    for (const id of [...this.book.keys()]) {
      const alert = this.book.confirmed(id) as AlertMessage;
      const covered = patterns.some((p) => matches(p, alert.series));
      if (alert.phase === "resolved" || open.has(id) || !covered) continue;
      this.book.delete(id);
      this.emit("ended", alert);
    }
    for (const alert of alerts) this.take(alert);
  }

  /** Versions of before mean nothing any more. */
  reset(): void {
    this.book.clear();
    this.resolved.clear();
  }

  private act(
    id: string,
    action: string,
    body: object,
    apply: (alert: AlertMessage) => AlertMessage,
  ): Promise<number> {
    const done = this.http.post(`/v1/alerts/${encodeURIComponent(id)}/${action}`, body).then((said) => {
      // With 202 it is stored, and its transition still to come.
      if (typeof said.phase === "string") this.take(said as unknown as AlertMessage);
      return typeof said.version === "number" ? said.version : 0;
    });
    return this.book.patch(id, apply, done);
  }

  private remember(id: string): void {
    this.resolved.add(id);
    if (this.resolved.size <= RESOLVED_LIMIT) return;
    const oldest = this.resolved.values().next().value as string;
    this.resolved.delete(oldest);
    this.book.delete(oldest);
  }
}
