import { type BackoffOptions, backoff, DEFAULT_BACKOFF } from "./backoff.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type CloseRule, closeRule } from "./codes.ts";
import { attemptAfter, INITIAL, isOpen, type LinkEvent, type LinkState, step } from "./machine.ts";
import { type Codec, jsonCodec, ProtocolError } from "./parse.ts";
import type { ClientMessage, Draining, ServerMessage } from "./protocol.ts";
import type { Socket } from "./socket.ts";
import { type GetToken, Tokens } from "./tokens.ts";

/** A way to reach the server. */
export interface Transport {
  readonly name: string;
  /** A promise where code has to be loaded first. */
  open(token: string | null): Socket | Promise<Socket>;
}

export interface ConnectionOptions {
  /** Ways to reach the server: the next is tried when one fails to open repeatedly. At least one. */
  readonly transports: readonly Transport[];
  readonly onState: (state: LinkState) => void;
  readonly onMessage: (message: ServerMessage, bytes: number) => void;
  /** A frame was not of the protocol; the connection is closed, and dialled again. */
  readonly onProtocolError?: ((error: Error) => void) | undefined;
  readonly codec?: Codec | undefined;
  readonly getToken?: GetToken | undefined;
  readonly backoff?: Partial<BackoffOptions> | undefined;
  /** Failures in a row after which the connection is given up. Default: never. */
  readonly maxRetries?: number | undefined;
  /** Longest time between pings, ms: the server may be content with less. Default: the server's heartbeat. */
  readonly maxHeartbeat?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
}

/** Without a welcome after this long (ms), dialling has failed. */
const WELCOME_TIMEOUT = 10_000;
/** Beats, of half a heartbeat each, that pass without a frame until the connection is stale, and until it is given up. */
const STALE_BEATS = 3;
const DEAD_BEATS = 4;
/** Failures in a row to hear anything over a transport after which the next one is tried. */
const TRANSPORT_FAILURES = 3;
/** How long, ms, a connection goes by another way than the first before that is tried once more: at first, and at most. */
const UPGRADE_AFTER = 60_000;
const UPGRADE_AFTER_MAX = 3_600_000;
/** Own close code for a server that fell silent; the table's heartbeat_missed. */
const HEARTBEAT_MISSED = 4003;

/** Keeps one live connection: dials, watches the heartbeat by app_ping, comes back with back-off. */
export class Connection {
  state: LinkState = INITIAL;
  /** Round trip of the last app_ping, ms; NaN before the first answer. */
  roundTrip = Number.NaN;

  readonly clock: Clock;
  readonly tokens: Tokens;
  private readonly random: () => number;
  private readonly backoff: BackoffOptions;
  private readonly codec: Codec;
  private socket: Socket | null = null;
  /** Grows with every dial, so that what an earlier one waited for is not taken for the later one's. */
  private dials = 0;
  private dialling = false;
  private cancelTimer: () => void = () => {};
  private heartbeat = 15_000;
  private silentBeats = 0;
  private draining: Draining | null = null;
  private place = 0;
  private heard = false;
  private failures = 0;
  private upgradeDelay = UPGRADE_AFTER;
  private cancelUpgrade: () => void = () => {};

  constructor(private readonly options: ConnectionOptions) {
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? Math.random;
    this.backoff = { ...DEFAULT_BACKOFF, ...options.backoff };
    this.codec = options.codec ?? jsonCodec;
    this.tokens = new Tokens(options.getToken);
  }

  /** Name of the transport in use, or to be tried next. */
  get transport(): string {
    return this.options.transports[this.place]?.name ?? "";
  }

  /** Dial now; also what a person's "retry" and the browser's "online" do. No-op on an open connection. */
  dial(): void {
    if (this.socket || this.dialling) return;
    this.cancelTimer();
    this.draining = null;
    this.heard = false;
    this.transition({ type: "dial" });
    const dial = ++this.dials;
    if (!this.tokens.wanted) {
      this.open(this.tokens.token);
      return;
    }
    this.dialling = true;
    this.tokens.fetch().then(
      (token) => this.dials === dial && this.open(token),
      (error: unknown) => this.dials === dial && this.tokenFailed(error),
    );
  }

  /** Send; false if there is no open connection, or none that carries it (the next welcome is the time to say it again). */
  send(message: ClientMessage): boolean {
    if (!this.socket || !isOpen(this.state)) return false;
    return this.socket.send(JSON.stringify(message)) !== false;
  }

  /** End, until somebody dials again. */
  close(): void {
    this.cancelTimer();
    this.cancelUpgrade();
    this.dials++;
    this.dialling = false;
    const socket = this.socket;
    this.socket = null;
    this.transition({ type: "hang_up" });
    socket?.close(1000, "normal");
  }

  /** See whether the server still answers: soon known, after a sleep or a change of network. */
  probe(): void {
    if (this.state.name === "reconnecting") this.dial();
    else if (isOpen(this.state)) this.beat();
  }

  private open(token: string | null): void {
    const failed = (error: unknown) => {
      this.dialling = false;
      this.lost(closeRule(1006, String(error)));
    };
    try {
      const opened = (this.options.transports[this.place] as Transport).open(token);
      if (!(opened instanceof Promise)) {
        this.attach(opened, token);
        return;
      }
      const dial = this.dials;
      this.dialling = true;
      opened.then(
        (socket) => (this.dials === dial ? this.attach(socket, token) : socket.close()),
        (error) => this.dials === dial && failed(error),
      );
    } catch (error) {
      failed(error);
    }
  }

  private attach(socket: Socket, token: string | null): void {
    this.dialling = false;
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket === socket && token !== null) this.authenticate(token);
    };
    socket.onmessage = (event) => {
      if (this.socket === socket) this.receive(event.data);
    };
    socket.onclose = (event) => {
      if (this.socket === socket) this.lost(closeRule(event.code, event.reason));
    };
    this.cancelTimer = this.clock.after(WELCOME_TIMEOUT, () => this.drop(HEARTBEAT_MISSED, "no welcome"));
  }

  /** Say who asks: before the welcome, or as a renewal. */
  private authenticate(token: string): void {
    const message: ClientMessage = { type: "auth", payload: { token } };
    this.socket?.send(JSON.stringify(message));
  }

  private receive(data: unknown): void {
    this.heard = true;
    this.failures = 0;
    this.silentBeats = 0;
    try {
      if (typeof data !== "string" && !(data instanceof ArrayBuffer))
        throw new ProtocolError("a frame of no kind");
      const message = this.codec.decode(data);
      if (message) this.handle(message, typeof data === "string" ? data.length : data.byteLength);
    } catch (error) {
      if (!(error instanceof ProtocolError) && !(error instanceof SyntaxError)) throw error;
      this.options.onProtocolError?.(error);
      this.drop(4200, "protocol_error");
    }
  }

  private handle(message: ServerMessage, bytes: number): void {
    switch (message.type) {
      case "welcome": {
        const longest = this.options.maxHeartbeat ?? Number.POSITIVE_INFINITY;
        this.heartbeat = Math.min(longest, Math.max(500, message.payload.heartbeat_ms));
        this.tokens.accepted();
        this.transition({ type: "welcome", now: this.clock.now() });
        this.beat();
        this.upgrade();
        break;
      }
      case "app_ping":
        this.send({ type: "app_pong", payload: message.payload });
        break;
      case "app_pong":
        if (message.payload.t !== undefined) this.roundTrip = this.clock.now() - message.payload.t;
        break;
      case "draining":
        this.draining = message.payload;
        break;
      case "token_expiring":
        this.renew();
        break;
    }
    this.transition({ type: "frame" });
    this.options.onMessage(message, bytes);
  }

  /** Exchange the credentials over the open connection. If that fails, the end of the old ones is told by a close. */
  private renew(): void {
    const dial = this.dials;
    this.tokens.renew().then(
      (token) => {
        if (this.dials === dial && token !== null) this.authenticate(token);
      },
      () => {},
    );
  }

  /** Ping, and count how often in a row nothing had come since the ping before: timers may be late, pings are not. */
  private beat(): void {
    this.cancelTimer();
    this.send({ type: "app_ping", payload: { t: this.clock.now() } });
    this.cancelTimer = this.clock.after(this.heartbeat / 2, () => {
      this.silentBeats++;
      if (this.silentBeats >= DEAD_BEATS) {
        this.drop(HEARTBEAT_MISSED, "heartbeat_missed");
        return;
      }
      if (this.silentBeats >= STALE_BEATS) this.transition({ type: "silence" });
      this.beat();
    });
  }

  /** Close from this side. A dead peer never confirms, so its confirmation is not waited for. */
  private drop(code: number, reason: string): void {
    const socket = this.socket;
    if (!socket) return;
    this.lost(closeRule(4000 <= code && code < 4100 ? code : 1011, reason));
    socket.close(code, reason);
  }

  private tokenFailed(error: unknown): void {
    this.dialling = false;
    if (error instanceof Error && error.name === "SignInNeeded")
      this.transition({ type: "sign_in", reason: error.message });
    else this.lost(closeRule(1006, `no credentials: ${error}`));
  }

  private lost({ code, reason, action }: CloseRule): void {
    this.socket = null;
    this.cancelTimer();
    this.cancelUpgrade();
    this.silentBeats = 0;
    if (action === "stop") {
      this.transition({ type: "refuse", code, reason });
      return;
    }
    if (action === "token" && !this.tokens.refused()) {
      this.transition({ type: "sign_in", reason });
      return;
    }
    this.changeTransport();
    this.retry(code, reason);
  }

  private retry(code: number, reason: string): void {
    const now = this.clock.now();
    const attempt = attemptAfter(this.state, now);
    if (attempt >= (this.options.maxRetries ?? Number.POSITIVE_INFINITY)) {
      this.transition({ type: "refuse", code: 0, reason: "gave_up" });
      return;
    }
    const delay = this.draining
      ? this.draining.reconnect_after_ms + this.random() * this.draining.jitter_ms
      : backoff(attempt, this.random(), this.backoff);
    this.transition({ type: "retry", now, delay, code, reason });
    if (this.state.name === "reconnecting") this.cancelTimer = this.clock.after(delay, () => this.dial());
  }

  /** Another way when this one leads nowhere; the first again, once, when the other is lost. */
  private changeTransport(): void {
    const ways = this.options.transports.length;
    if (!this.heard && ++this.failures >= TRANSPORT_FAILURES) {
      this.place = (this.place + 1) % ways;
      this.failures = 0;
    } else if (this.heard && this.place > 0) {
      this.place = 0;
      this.failures = TRANSPORT_FAILURES - 1;
    }
  }

  /** The first way may not have been there because the server was not: leave the other one for it after a while. */
  private upgrade(): void {
    if (this.place === 0) {
      this.upgradeDelay = UPGRADE_AFTER;
      return;
    }
    this.cancelUpgrade = this.clock.after(this.upgradeDelay, () => this.drop(4002, "server_restart"));
    this.upgradeDelay = Math.min(UPGRADE_AFTER_MAX, this.upgradeDelay * 2);
  }

  private transition(event: LinkEvent): void {
    const next = step(this.state, event);
    if (next === this.state) return;
    this.state = next;
    this.options.onState(next);
  }
}
