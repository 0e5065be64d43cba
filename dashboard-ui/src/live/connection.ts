import { backoff } from "./backoff";
import { closeRule } from "./codes";
import { attemptAfter, INITIAL, type LinkEvent, type LinkState, step } from "./machine";
import {
  type ClientMessage,
  type Draining,
  ProtocolError,
  parseServerMessage,
  type ServerMessage,
  SUBPROTOCOL,
} from "./protocol";

/** The part of the browser's WebSocket that is used; tests bring their own. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface Clock {
  /** Monotonic ms. */
  now(): number;
  after(ms: number, run: () => void): () => void;
}

export const browserClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
};

export interface ConnectionOptions {
  readonly open: (subprotocol: string) => Socket;
  readonly onState: (state: LinkState) => void;
  readonly onMessage: (message: ServerMessage, bytes: number) => void;
  readonly onProtocolError?: (error: Error) => void;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
}

/** Without a welcome after this long (ms), dialling has failed. */
const WELCOME_TIMEOUT = 10_000;
/** Longest time, ms, between pings: the server may be content with less, a person is not. */
const MAX_HEARTBEAT = 5_000;
/** Silence, in heartbeats, after which the connection is stale, and after which it is given up. */
const STALE_AFTER = 1.5;
const GIVE_UP_AFTER = 4;
/** Own close code for a server that fell silent; the table's heartbeat_missed. */
const HEARTBEAT_MISSED = 4003;

/** Keeps one live connection: dials, watches the heartbeat by app_ping, comes back with back-off. */
export class Connection {
  state: LinkState = INITIAL;
  /** Round trip of the last app_ping, ms; NaN before the first answer. */
  roundTrip = Number.NaN;

  readonly clock: Clock;
  private readonly random: () => number;
  private socket: Socket | null = null;
  private cancelTimer: () => void = () => {};
  private heartbeat = MAX_HEARTBEAT;
  private lastFrame = 0;
  private draining: Draining | null = null;

  constructor(private readonly options: ConnectionOptions) {
    this.clock = options.clock ?? browserClock;
    this.random = options.random ?? Math.random;
  }

  /** Dial now; also what a person's "retry" and the browser's "online" do. No-op on an open connection. */
  dial(): void {
    if (this.socket) return;
    this.cancelTimer();
    this.draining = null;
    this.transition({ type: "dial" });
    let socket: Socket;
    try {
      socket = this.options.open(SUBPROTOCOL);
    } catch {
      this.lost(1006, "");
      return;
    }
    this.socket = socket;
    socket.onmessage = (event) => {
      if (this.socket === socket && typeof event.data === "string") this.receive(event.data);
    };
    socket.onclose = (event) => {
      if (this.socket === socket) this.lost(event.code, event.reason);
    };
    this.cancelTimer = this.clock.after(WELCOME_TIMEOUT, () => this.drop(HEARTBEAT_MISSED, "no welcome"));
  }

  /** Send if the connection is open; false if it is not (the welcome is the time to say it again). */
  send(message: ClientMessage): boolean {
    if (!this.socket || (this.state.name !== "live" && this.state.name !== "stale")) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** End, until somebody dials again. */
  close(): void {
    this.cancelTimer();
    const socket = this.socket;
    this.socket = null;
    this.transition({ type: "hang up" });
    socket?.close(1000, "normal");
  }

  private receive(text: string): void {
    this.lastFrame = this.clock.now();
    let message: ServerMessage | null;
    try {
      message = parseServerMessage(text);
      if (message) this.handle(message, text.length);
    } catch (error) {
      if (!(error instanceof ProtocolError) && !(error instanceof SyntaxError)) throw error;
      this.options.onProtocolError?.(error);
      this.drop(4200, "protocol_error");
    }
  }

  private handle(message: ServerMessage, bytes: number): void {
    if (message.type === "welcome") {
      this.heartbeat = Math.min(MAX_HEARTBEAT, Math.max(500, message.payload.heartbeat_ms));
      this.transition({ type: "welcome", now: this.clock.now() });
      this.beat();
    } else {
      this.transition({ type: "frame" });
    }
    if (message.type === "app_pong" && message.payload.t !== undefined) {
      this.roundTrip = this.clock.now() - message.payload.t;
    }
    if (message.type === "draining") this.draining = message.payload;
    this.options.onMessage(message, bytes);
  }

  private beat(): void {
    this.cancelTimer();
    this.send({ type: "app_ping", payload: { t: this.clock.now() } });
    this.cancelTimer = this.clock.after(this.heartbeat / 2, () => {
      const silent = this.clock.now() - this.lastFrame;
      if (silent > GIVE_UP_AFTER * this.heartbeat) {
        this.drop(HEARTBEAT_MISSED, "heartbeat_missed");
        return;
      }
      if (silent > STALE_AFTER * this.heartbeat) this.transition({ type: "silence", now: this.clock.now() });
      this.beat();
    });
  }

  /** Close from this side. A dead peer never confirms, so its confirmation is not waited for. */
  private drop(code: number, reason: string): void {
    const socket = this.socket;
    if (!socket) return;
    this.lost(4000 <= code && code < 4100 ? code : 1011, reason);
    socket.close(code, reason);
  }

  private lost(code: number, reason: string): void {
    this.socket = null;
    this.cancelTimer();
    const now = this.clock.now();
    const attempt = attemptAfter(this.state, now);
    const delay = this.draining
      ? this.draining.reconnect_after_ms + this.random() * this.draining.jitter_ms
      : backoff(attempt, this.random());
    this.transition({ type: "closed", rule: closeRule(code, reason), now, delay });
    if (this.state.name === "reconnecting") this.cancelTimer = this.clock.after(delay, () => this.dial());
  }

  private transition(event: LinkEvent): void {
    const next = step(this.state, event);
    if (next === this.state) return;
    this.state = next;
    this.options.onState(next);
  }
}
