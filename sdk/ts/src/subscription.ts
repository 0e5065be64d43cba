import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import { isPassing } from "./http.ts";
import type {
  ClientMessage,
  Column,
  ErrorMessage,
  SeriesChanges,
  Subscribed,
  SubscribeRequest,
  Updates,
} from "./protocol.ts";
import { NO_VERSION } from "./update.ts";
import { type Counts, type SeriesSink, View } from "./view.ts";
import { Waiters } from "./waiters.ts";

/** Which series, and how; what is left out is the server's default. */
export interface SubscribeOptions {
  /** As in MQTT: `+` is one segment, a last `#` any number. None: nothing is subscribed to. */
  readonly patterns: readonly string[];
  /** Frames per second; 0: unlimited. */
  readonly maxHz?: number | undefined;
  /** Columns wanted beside i, version, since and n. */
  readonly fields?: readonly Column[] | undefined;
  /** Condition over a row, such as `state >= anomalous and tags.line == "3"`. */
  readonly filter?: string | undefined;
  /** `worst`, or a column's name, with `-` in front for descending; see comparator. */
  readonly order?: string | undefined;
  /** Only the first so many series by order. */
  readonly limit?: number | undefined;
  /** At most so many rows per series and windowMs. */
  readonly points?: number | undefined;
  readonly windowMs?: number | undefined;
}

export type SubscriptionState = "idle" | "asked" | "live" | "refused";

export interface SubscriptionEvents {
  state: SubscriptionState;
  /** A snapshot; or, if resumed, what was missed. */
  subscribed: Subscribed;
  /** A frame has been delivered whole. */
  frame: Updates;
  /** The chain begins anew: what happened in between is known by its end only. */
  resync: { readonly reason: string };
  error: ErrorMessage;
}

/** Counts since the subscription was made. */
export interface SubscriptionCounts extends Counts {
  frames: number;
  /** Breaks of the chain: rows that did not follow the ones before. */
  gaps: number;
  /** Chains begun anew, for whatever reason. */
  resyncs: number;
  /** Reconnects after which nothing was missed. */
  resumes: number;
}

/** What a subscription needs of its client. */
export interface SubscriptionLink {
  readonly clock: Clock;
  /** A name that no other subscription of the connection has. */
  newId(): string;
  send(message: ClientMessage): boolean;
  /** The subscription has ended. */
  forget(subscription: Subscription<unknown>): void;
}

/** Delay, ms, before a broken chain is asked for again: the first, and the longest. */
const RESYNC_DELAY = 250;
const RESYNC_DELAY_MAX = 30_000;
/** Delay, ms, before what cannot be had for the moment is asked for once more. */
const AGAIN = 2_000;
/** A chain that held this long, ms, is trusted again. */
const CALM_AFTER = 2 * RESYNC_DELAY_MAX;

/** One subscription, kept alive across reconnects, resyncs and changes of what is asked for. */
export class Subscription<T = unknown> extends Emitter<SubscriptionEvents> {
  readonly counts: SubscriptionCounts = {
    frames: 0,
    rows: 0,
    readings: 0,
    replays: 0,
    gaps: 0,
    resyncs: 0,
    resumes: 0,
  };

  private current: SubscriptionState = "idle";
  private options: SubscribeOptions;
  private readonly waiters: Waiters;
  /** Id that the next message is to have, if a transport has been told of it already. */
  private intended: string | null = null;
  /** Id of the subscription asked for; its view once the server has answered. */
  private id: string | null = null;
  private view: View<T> | null = null;
  /** The view that a resumed one would go on from, with the newest cursor. */
  private previous: View<T> | undefined;
  private cursor: string | undefined;
  /** The cursor of the attempt that followed the newest break. */
  private tried: string | undefined;
  private begun = false;
  private resyncDelay = RESYNC_DELAY;
  private lastBreak = Number.NEGATIVE_INFINITY;
  private cancelResync: () => void = () => {};

  constructor(
    options: SubscribeOptions,
    readonly sink: SeriesSink<T>,
    private readonly link: SubscriptionLink,
  ) {
    super();
    this.options = options;
    this.waiters = new Waiters(link.clock);
  }

  get state(): SubscriptionState {
    return this.current;
  }

  get patterns(): readonly string[] {
    return this.options.patterns;
  }

  /** How many series the view names. */
  get size(): number {
    return this.view?.size ?? 0;
  }

  /** Ask for something else from now on. */
  change(options: Partial<SubscribeOptions>): void {
    this.options = { ...this.options, ...options };
    this.cursor = undefined;
    this.leave();
    this.ask();
  }

  /** End it for good. */
  unsubscribe(): void {
    this.leave();
    this.enter("idle");
    this.link.forget(this as Subscription<unknown>);
  }

  /**
   * Resolves when the subscription has been told of the series' version or a later one, rejects with WaitTimeout after
   * ms. A series that a filter keeps back is not told of.
   */
  waitFor(series: string, version: number, ms: number): Promise<number> {
    const seen = this.view?.seen(series) ?? NO_VERSION;
    return seen >= version ? Promise.resolve(seen) : this.waiters.wait(series, version, ms);
  }

  /** What will be asked for once the connection is open, for transports that have to know before; null: nothing. */
  intent(): SubscribeRequest | null {
    if (this.options.patterns.length === 0) return null;
    this.intended = this.link.newId();
    return request(this.intended, this.options, this.cursor);
  }

  /** The connection is open, or its credentials have changed: ask, from the cursor on if there is one. */
  opened(): void {
    // Whoever was told of the welcome may have asked already.
    if (!this.id) this.ask();
  }

  /** With the connection its subscription is gone. */
  lost(): void {
    this.cancelResync();
    this.keep();
    this.id = null;
    if (this.current !== "refused") this.enter("idle");
  }

  /** The server has another epoch. */
  reset(): void {
    this.cursor = undefined;
    this.previous = undefined;
    this.sink.reset?.();
  }

  /** The messages that follow; false if they are another subscription's. */
  subscribed(message: Subscribed): boolean {
    if (message.id !== this.id) return false;
    const resumed = message.resumed === true && this.previous !== undefined;
    if (this.begun && !resumed && this.cursor !== undefined) this.restarted("no catch-up");
    this.begun = true;
    if (resumed) this.counts.resumes++;
    const { filter, limit } = this.options;
    const view = new View(message, {
      sink: this.sink,
      counts: this.counts,
      sparse: filter !== undefined || limit !== undefined,
      previous: this.previous,
      seen: (series, version) => this.waiters.saw(series, version),
    });
    this.view = view;
    this.previous = undefined;
    // One that leads to a break is not tried again.
    if (view.intact) this.cursor = message.cursor;
    else this.tried = this.cursor;
    this.enter("live");
    this.sink.snapshot?.(message);
    this.emit("subscribed", message);
    // Who is told may have asked for something else meanwhile.
    if (!view.intact && this.view === view) this.broke();
    return true;
  }

  series(message: SeriesChanges): boolean {
    if (message.view !== this.view?.number) return false;
    // First, as one that comes back has the same name.
    this.view.remove(message.removed);
    this.view.add(message.added);
    this.view.change(message.changed);
    return true;
  }

  updates(message: Updates, bytes: number): boolean {
    const view = this.view;
    if (!view || view.number !== message.view) return false;
    if (view.apply(message)) {
      this.cursor = message.cursor ?? this.cursor;
      this.counts.frames++;
      this.sink.frame?.(message, bytes);
      this.emit("frame", message);
    } else this.broke();
    return true;
  }

  /** The server begins anew, and sends a fresh snapshot under the same id. */
  resync(view: number | undefined, id: string | undefined, reason: string): boolean {
    if (id !== undefined ? id !== this.id : view === undefined || view !== this.view?.number) return false;
    this.keep();
    this.cursor = undefined;
    this.restarted(reason);
    return true;
  }

  error(message: ErrorMessage): boolean {
    if (message.id === undefined || message.id !== this.id) return false;
    this.keep();
    this.id = null;
    if (isPassing(message.code)) this.later(AGAIN);
    else {
      this.enter("refused");
      this.emit("error", message);
    }
    return true;
  }

  private ask(): void {
    this.cancelResync();
    const { patterns } = this.options;
    if (patterns.length === 0) {
      this.enter("idle");
      return;
    }
    const id = this.intended ?? this.link.newId();
    this.intended = null;
    const asked = this.link.send({ type: "subscribe", payload: request(id, this.options, this.cursor) });
    this.id = asked ? id : null;
    if (asked) this.enter("asked");
  }

  private leave(): void {
    this.cancelResync();
    if (this.id) this.link.send({ type: "unsubscribe", payload: { id: this.id } });
    this.keep();
    this.id = null;
  }

  /** Part with the view, but not with what it knows. */
  private keep(): void {
    this.previous = this.view ?? this.previous;
    this.view = null;
  }

  /**
   * Drop the view now, and ask soon for what is missing, from the newest cursor on: later and later while breaks follow
   * one another. If that cursor has led here before, or there is none, the chain begins anew.
   */
  private broke(): void {
    this.counts.gaps++;
    this.leave();
    if (this.cursor === this.tried) {
      this.cursor = undefined;
      this.restarted("gap");
    }
    this.tried = this.cursor;
    const now = this.link.clock.now();
    const calm = now - this.lastBreak > CALM_AFTER;
    this.resyncDelay = calm ? RESYNC_DELAY : Math.min(RESYNC_DELAY_MAX, this.resyncDelay * 2);
    this.lastBreak = now;
    this.later(this.resyncDelay);
  }

  private later(ms: number): void {
    this.enter("idle");
    this.cancelResync = this.link.clock.after(ms, () => this.ask());
  }

  private restarted(reason: string): void {
    this.counts.resyncs++;
    this.emit("resync", { reason });
  }

  private enter(state: SubscriptionState): void {
    if (state === this.current) return;
    this.current = state;
    this.emit("state", state);
  }
}

/** The message's payload; JSON leaves out what is left to the server. */
function request(id: string, options: SubscribeOptions, cursor: string | undefined): SubscribeRequest {
  const { maxHz: max_hz, windowMs: window_ms, ...same } = options;
  return { id, ...same, max_hz, window_ms, cursor };
}
