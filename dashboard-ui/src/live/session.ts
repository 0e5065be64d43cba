import {
  type AlertMessage,
  type ErrorMessage,
  type LinkState,
  LiveClient,
  type LiveOptions,
  type Stats,
  type Subscription,
  type Update,
  type Updates,
  type Welcome,
} from "@weir/live";
import { within } from "@weir/live/pattern";

/** Where a session delivers to. */
export interface SessionSink<T> {
  /** The receiver of a series' rows. */
  open(series: string): T;
  /** A row in order. u is reused for the next row. */
  accept(target: T, u: Readonly<Update>): void;
  /** The series is gone. */
  remove(target: T): void;
  /** What happened meanwhile is known by its end only. */
  resync(reason: string): void;
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

export interface SessionOptions extends LiveOptions {
  readonly onState: (state: LinkState) => void;
}

/** Rows per second of one series that a page of this many series asks for; undefined: the server's default. */
export function rateFor(series: number): number | undefined {
  if (series <= 500) return undefined;
  return series <= 2_000 ? 5 : 1;
}

/** Most patterns of one subscription: the server's default (push.max_patterns). */
const MAX_PATTERNS = 64;
/** Longest time, ms, between pings: the server may be content with less, a person is not. */
const MAX_HEARTBEAT = 5_000;

/** The page's one subscription: to what its pattern and the credentials leave, at a rate that the page can draw. */
export class Session<T> {
  private readonly client: LiveClient;
  private readonly subscription: Subscription<T>;
  private pattern: string;
  /** What may be read, and what of the pattern that leaves. */
  private read: readonly string[] = ["#"];
  private selection: readonly string[];
  private maxHz: number | undefined;

  constructor(
    pattern: string,
    private readonly sink: SessionSink<T>,
    options: SessionOptions,
  ) {
    this.pattern = pattern;
    this.selection = [pattern];
    const client = new LiveClient({ maxHeartbeat: MAX_HEARTBEAT, ...options });
    this.client = client;
    this.subscription = client.subscribe<T>(
      { patterns: this.selection },
      {
        open: ({ series }) => sink.open(series),
        accept: (target, u) => sink.accept(target, u),
        remove: (target) => sink.remove(target),
        frame: (frame, bytes) => {
          sink.frame(frame, bytes);
          this.adaptRate();
        },
      },
    );
    this.subscription.on("subscribed", (message) => {
      // What was missed comes as transitions; it does not say what is open.
      if (!message.resumed) sink.snapshot(message.alerts ?? [], message.push_ts);
      this.adaptRate();
    });
    this.subscription.on("resync", ({ reason }) => sink.resync(reason));
    this.subscription.on("error", (error) => sink.problem(error));
    client.on("state", options.onState);
    client.on("welcome", (welcome) => {
      sink.welcome(welcome);
      this.mayRead(welcome.read ?? ["#"]);
    });
    client.on("authenticated", (authenticated) => {
      sink.authenticated();
      this.mayRead(authenticated.read ?? []);
    });
    client.on("expiring", ({ expires_at }) => sink.expiring(expires_at));
    client.on("problem", (error) => sink.problem(error));
    client.alerts.on("transition", (alert) => sink.alert(alert));
  }

  get subscribed(): boolean {
    return this.subscription.state === "live";
  }

  /** Patterns that may be read, as far as is known. */
  get readable(): readonly string[] {
    return this.read;
  }

  /** Whether anything that the pattern selects may be read. */
  get permitted(): boolean {
    return this.selection.length > 0;
  }

  /** Connect, and stay connected; at once, if the next try is still to come. */
  connect(): void {
    this.client.connect();
  }

  /** End, until somebody connects again. */
  close(): void {
    this.client.close();
  }

  /** What the server counts of this page; null if it does not answer. */
  async figures(): Promise<Stats | null> {
    return this.client.stats().catch(() => null);
  }

  setPattern(pattern: string): void {
    if (pattern === this.pattern) return;
    this.pattern = pattern;
    this.maxHz = undefined;
    this.select();
    this.ask();
  }

  private mayRead(read: readonly string[]): void {
    this.read = read;
    if (this.select()) this.ask();
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

  private adaptRate(): void {
    const hz = rateFor(this.subscription.size);
    // Only downwards: a page that shrank is not worth another snapshot.
    if (hz === undefined || (this.maxHz !== undefined && this.maxHz <= hz)) return;
    this.maxHz = hz;
    this.ask();
  }

  private ask(): void {
    this.subscription.change({ patterns: this.selection, maxHz: this.maxHz });
  }
}
