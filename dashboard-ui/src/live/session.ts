import { within } from "../data/pattern";
import { Connection, type ConnectionOptions } from "./connection";
import type { LinkState } from "./machine";
import type { AlertMessage, ErrorMessage, ServerMessage, Updates, Welcome } from "./protocol";
import { View, type ViewSink } from "./view";

/** Where a session delivers to. */
export interface SessionSink<T> extends ViewSink<T> {
  welcome(welcome: Welcome): void;
  /** A snapshot arrived: alerts are all that are open for the subscription. */
  snapshot(alerts: readonly AlertMessage[], pushTime: number): void;
  /** A frame of updates has been delivered whole. */
  frame(frame: Updates, bytes: number): void;
  alert(alert: AlertMessage): void;
  /** The server refused something asked for. */
  problem(error: ErrorMessage): void;
  /** From now on only series that one of these patterns selects count. */
  restrict(patterns: readonly string[]): void;
  /** The session ends at that time, RFC 3339; or it has been renewed. */
  expiring(at: string): void;
  authenticated(): void;
}

export interface SessionStats {
  replays: number;
  gaps: number;
  resyncs: number;
  protocolErrors: number;
}

export interface SessionOptions {
  readonly open: ConnectionOptions["open"];
  readonly onState: (state: LinkState) => void;
  readonly clock?: ConnectionOptions["clock"];
  readonly random?: ConnectionOptions["random"];
}

/** Rows per second of one series that a page of this many series asks for; undefined: the server's default. */
export function rateFor(series: number): number | undefined {
  if (series <= 500) return undefined;
  return series <= 2_000 ? 5 : 1;
}

/** Most patterns of one subscription: the server's default (push.max_patterns). */
const MAX_PATTERNS = 64;

/** Delay, ms, before a broken chain is subscribed anew: the first, and the longest. */
const RESYNC_DELAY = 250;
const RESYNC_DELAY_MAX = 30_000;
/** A chain that held this long, ms, is trusted again. */
const CALM_AFTER = 2 * RESYNC_DELAY_MAX;

/** One subscription, kept alive across reconnects, resyncs and changes of its pattern. */
export class Session<T> {
  readonly connection: Connection;
  readonly stats: SessionStats = { replays: 0, gaps: 0, resyncs: 0, protocolErrors: 0 };

  private pattern: string;
  /** What may be read, and what of the pattern that leaves. */
  private read: readonly string[] = ["#"];
  private selection: readonly string[];
  private maxHz: number | undefined;
  private serial = 0;
  /** Id of the subscription asked for; its view once the server has answered. */
  private id: string | null = null;
  private view: View<T> | null = null;
  private resyncDelay = RESYNC_DELAY;
  private lastBreak = Number.NEGATIVE_INFINITY;
  private cancelResync: () => void = () => {};

  constructor(
    pattern: string,
    private readonly sink: SessionSink<T>,
    options: SessionOptions,
  ) {
    this.pattern = pattern;
    this.selection = [pattern];
    this.connection = new Connection({
      ...options,
      onState: (state) => {
        // With the connection its subscription is gone.
        if (state.name !== "live" && state.name !== "stale") this.id = this.view = null;
        options.onState(state);
      },
      onMessage: (message, bytes) => this.receive(message, bytes),
      onProtocolError: () => this.stats.protocolErrors++,
    });
  }

  get subscribed(): boolean {
    return this.view !== null;
  }

  /** Patterns that may be read, as far as is known. */
  get readable(): readonly string[] {
    return this.read;
  }

  /** Whether anything that the pattern selects may be read. */
  get permitted(): boolean {
    return this.selection.length > 0;
  }

  setPattern(pattern: string): void {
    if (pattern === this.pattern) return;
    this.pattern = pattern;
    this.maxHz = undefined;
    this.select();
    this.subscribe();
  }

  /** Narrow the pattern to what may be read; true if that changes what is subscribed to. */
  private select(): boolean {
    const all = within(this.pattern, this.read);
    const next = all.slice(0, MAX_PATTERNS);
    if (next.join(" ") === this.selection.join(" ")) return false;
    this.selection = next;
    this.sink.restrict(next);
    if (all.length > next.length) {
      const message = `your credentials name more than ${MAX_PATTERNS} patterns here, of which the first are shown`;
      this.sink.problem({ code: "patterns_too_many", message });
    }
    return true;
  }

  private receive(message: ServerMessage, bytes: number): void {
    switch (message.type) {
      case "welcome":
        this.sink.welcome(message.payload);
        this.read = message.payload.read ?? ["#"];
        this.select();
        this.subscribe();
        break;
      case "authenticated":
        this.sink.authenticated();
        this.read = message.payload.read ?? [];
        if (this.select() || !this.id) this.subscribe();
        break;
      case "token_expiring":
        this.sink.expiring(message.payload.expires_at);
        break;
      case "subscribed":
        if (message.payload.id !== this.id) break;
        this.view = new View(message.payload, this.sink);
        this.sink.snapshot(message.payload.alerts ?? [], message.payload.push_ts);
        this.adaptRate(this.view.size);
        break;
      case "series":
        if (message.payload.view !== this.view?.number) break;
        this.view.add(message.payload.added);
        this.adaptRate(this.view.size);
        break;
      case "updates":
        this.update(message.payload, bytes);
        break;
      case "alert":
        this.sink.alert(message.payload);
        break;
      case "resync":
        // The server sends a fresh snapshot under the same id.
        if (message.payload.view !== this.view?.number) break;
        this.stats.resyncs++;
        this.view = null;
        break;
      case "error":
        // It has ended: what was subscribed to may not be read any more.
        if (message.payload.code === "forbidden" && message.payload.id === this.id) {
          this.id = this.view = null;
        }
        this.sink.problem(message.payload);
        break;
      case "app_pong":
      case "draining":
        break;
    }
  }

  private update(frame: Updates, bytes: number): void {
    const view = this.view;
    if (!view || view.number !== frame.view) return;
    const before = view.counts.replay;
    const intact = view.apply(frame.rows);
    this.stats.replays += view.counts.replay - before;
    this.sink.frame(frame, bytes);
    if (intact) return;
    this.stats.gaps++;
    this.resync();
  }

  /** Drop the view now, ask for a new one soon: later and later while breaks follow one another. */
  private resync(): void {
    this.stats.resyncs++;
    this.unsubscribe();
    const clock = this.connection.clock;
    const now = clock.now();
    const calm = now - this.lastBreak > CALM_AFTER;
    this.resyncDelay = calm ? RESYNC_DELAY : Math.min(RESYNC_DELAY_MAX, this.resyncDelay * 2);
    this.lastBreak = now;
    this.cancelResync = clock.after(this.resyncDelay, () => this.subscribe());
  }

  private adaptRate(series: number): void {
    const hz = rateFor(series);
    // Only downwards: a page that shrank is not worth another snapshot.
    if (hz === undefined || (this.maxHz !== undefined && this.maxHz <= hz)) return;
    this.maxHz = hz;
    this.subscribe();
  }

  private subscribe(): void {
    this.unsubscribe();
    if (!this.permitted) return;
    const id = `s${++this.serial}`;
    const limit = this.maxHz === undefined ? {} : { max_hz: this.maxHz };
    const asked = this.connection.send({
      type: "subscribe",
      payload: { id, patterns: this.selection, ...limit },
    });
    this.id = asked ? id : null;
  }

  private unsubscribe(): void {
    this.cancelResync();
    if (this.id) this.connection.send({ type: "unsubscribe", payload: { id: this.id } });
    this.id = null;
    this.view = null;
  }
}
