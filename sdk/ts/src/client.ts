import { Alerts } from "./alerts.ts";
import type { BackoffOptions } from "./backoff.ts";
import { type Clock, type Screen, systemClock, systemScreen } from "./clock.ts";
import { Connection, type Transport } from "./connection.ts";
import { Credits } from "./credits.ts";
import { Emitter } from "./emitter.ts";
import { Http } from "./http.ts";
import { isOpen, type LinkState } from "./machine.ts";
import { Outbox, type SendOptions, type Sent } from "./outbox.ts";
import { type Codec, jsonCodec } from "./parse.ts";
import type {
  Authenticated,
  ClientMessage,
  Draining,
  ErrorMessage,
  Message,
  RoomEntry,
  ServerMessage,
  Stats,
  Target,
  Welcome,
} from "./protocol.ts";
import { Room } from "./room.ts";
import { addresses, openWebSocket, type Socket, type WebSocketConstructor } from "./socket.ts";
import { SeriesStore, type StoredSeries } from "./store.ts";
import { type SubscribeOptions, Subscription } from "./subscription.ts";
import type { GetToken } from "./tokens.ts";
import type { SeriesSink } from "./view.ts";

export interface LiveOptions {
  /** The server, `https://weir.example`; without it, the one that the page is from. */
  readonly url?: string | undefined;
  /** Gives credentials; without it, the page's cookie or an open server has to do. */
  readonly getToken?: GetToken | undefined;
  /** Where there is no global one (Node before 22): `import { WebSocket } from "ws"`. */
  readonly WebSocket?: WebSocketConstructor | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** Ways to reach the server in the order they are tried. Default: both. */
  readonly transports?: readonly ("websocket" | "sse")[] | undefined;
  /** Opens a WebSocket in another way. */
  readonly open?: ((subprotocol: string) => Socket) | undefined;
  /** Another subprotocol than `weir.v1.json`. */
  readonly codec?: Codec | undefined;
  /** ms; see backoff. */
  readonly backoff?: Partial<BackoffOptions> | undefined;
  /** Failures in a row after which nothing is tried any more. Default: never. */
  readonly maxRetries?: number | undefined;
  /** Longest time between pings, ms. Default: as the server says. */
  readonly maxHeartbeat?: number | undefined;
  /** Frames of updates that may be under way; false: as many as the server likes. Default 16. */
  readonly credits?: number | false | undefined;
  /** How long a message may wait for its receipt, reconnects included, ms. Default 60,000. */
  readonly receiptTimeout?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly screen?: Screen | undefined;
  readonly random?: (() => number) | undefined;
}

export interface LiveEvents {
  state: LinkState;
  /** Subscriptions and rooms are asked for after this. */
  welcome: Welcome;
  authenticated: Authenticated;
  /** The credentials end soon, and getToken is asked for others; expires_at is RFC 3339. */
  expiring: { readonly expires_at: string };
  draining: Draining;
  /** To this user, this session or all: each once. */
  message: Message;
  /** Refused, and about nothing that would have been told of it. */
  problem: ErrorMessage;
  protocolError: Error;
}

export interface LiveCounts {
  frames: number;
  bytes: number;
  protocolErrors: number;
}

/** One live connection to a server, with everything that is asked for over it. Nothing happens before connect. */
export class LiveClient extends Emitter<LiveEvents> {
  readonly alerts: Alerts;
  readonly counts: LiveCounts = { frames: 0, bytes: 0, protocolErrors: 0 };
  readonly connection: Connection;

  private epoch = "";
  protected session = "";
  private readonly subscriptions = new Set<Subscription<unknown>>();
  private readonly rooms = new Map<string, Room>();
  /** The newest versions of messages to this user, who may be another one day. */
  private readonly inbox = new Map<string, number>();
  private readonly outbox: Outbox;
  private readonly credits: Credits | null;
  private readonly screen: Screen;
  private readonly link: { readonly clock: Clock; send(message: ClientMessage): boolean };
  private serial = 0;
  /** Up to where this user has read, if the server has yet to be told. */
  private read = -1;
  private asked: Record<"stats" | "rooms", ((answer: never) => void)[]> = { stats: [], rooms: [] };
  private unwatch: () => void = () => {};

  constructor(options: LiveOptions = {}) {
    super();
    const clock = options.clock ?? systemClock;
    this.screen = options.screen ?? systemScreen(clock);
    const at = options.open && options.url === undefined ? { http: "", live: "" } : addresses(options.url);
    const http = new Http({ base: at.http, token: () => this.connection.tokens.token, fetch: options.fetch });
    this.connection = new Connection({
      ...options,
      transports: this.ways(options, at.live, http),
      onState: (state) => this.changed(state),
      onMessage: (message, bytes) => this.receive(message, bytes),
      onProtocolError: (error) => {
        this.counts.protocolErrors++;
        this.emit("protocolError", error);
      },
    });
    this.link = { clock, send: (message) => this.connection.send(message) };
    const { send } = this.link;
    this.alerts = new Alerts(http, clock);
    this.outbox = new Outbox(send, clock, options.receiptTimeout ?? 60_000);
    const grant = (frames: number) => void send({ type: "credit", payload: { frames } });
    this.credits = options.credits === false ? null : new Credits(grant, this.screen, options.credits);
  }

  get state(): LinkState {
    return this.connection.state;
  }

  /** Connect, and stay connected until close. Also what a person's "retry" does. */
  connect(): void {
    this.unwatch();
    const probe = () => this.connection.probe();
    const unlook = this.screen.watch(() => {
      this.credits?.looked();
      if (this.screen.visible()) probe();
    });
    const page = typeof addEventListener === "undefined" ? undefined : globalThis;
    page?.addEventListener("online", probe);
    this.unwatch = () => {
      unlook();
      page?.removeEventListener("online", probe);
    };
    this.connection.dial();
  }

  /** End the connection until connect is called again; what is asked for stays asked for. */
  close(): void {
    this.unwatch();
    this.unwatch = () => {};
    this.connection.close();
  }

  /** Resolves when the connection is open, rejects when it waits for credentials or is refused. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (state: LinkState): boolean => {
        if (isOpen(state)) resolve();
        else if (state.name === "refused" || state.name === "unauthenticated")
          reject(new Error(state.reason));
        else return false;
        return true;
      };
      if (settle(this.state)) return;
      const off = this.on("state", (state) => settle(state) && off());
    });
  }

  /** Subscribe now, or as soon as the connection is open, and again after each reconnect. */
  subscribe(options: SubscribeOptions): Subscription<StoredSeries> & { readonly sink: SeriesStore };
  subscribe<T>(options: SubscribeOptions, sink: SeriesSink<T>): Subscription<T>;
  subscribe<T>(options: SubscribeOptions, sink?: SeriesSink<T>): Subscription<T> {
    const to = sink ?? (new SeriesStore() as unknown as SeriesSink<T>);
    const subscription = new Subscription<T>(options, to, {
      ...this.link,
      newId: () => `s${++this.serial}`,
      forget: (s) => void this.subscriptions.delete(s),
    });
    this.subscriptions.add(subscription as Subscription<unknown>);
    if (isOpen(this.state)) subscription.opened();
    return subscription;
  }

  /** The room of that path; it has to be joined. */
  room(name: string): Room {
    let room = this.rooms.get(name);
    if (!room) {
      room = new Room(name, {
        ...this.link,
        session: () => this.session,
        outbox: this.outbox,
      });
      this.rooms.set(name, room);
    }
    return room;
  }

  /** Send to a room, a user, a session or all. Sent again after a reconnect until there is a receipt. */
  send(target: Target, type: string, payload: unknown, options?: SendOptions): Sent {
    return this.outbox.send(target, type, payload, options);
  }

  /** The message, and all to this user before it, is read and need not come again; others than to a user do not anyway. */
  acknowledge({ user, version }: Target & { readonly version: number }): void {
    if (user !== undefined) this.ack(Math.max(this.read, version));
  }

  private ack(version: number): void {
    if (version >= 0) this.read = this.link.send({ type: "ack", payload: { version } }) ? -1 : version;
  }

  /** The rooms that may be read. Rejects if there is no connection, or one by server-sent events. */
  async listRooms(): Promise<readonly RoomEntry[]> {
    return (await this.ask<{ rooms: readonly RoomEntry[] }>("rooms")).rooms;
  }

  /** What the server counts of this connection. Rejects as listRooms does. */
  stats(): Promise<Stats> {
    return this.ask("stats");
  }

  private ask<R>(type: "rooms" | "stats"): Promise<R> {
    if (!this.link.send({ type, payload: {} }))
      return Promise.reject(new Error("there is no connection that can be asked"));
    return new Promise((resolve, reject) => {
      const cancel = this.link.clock.after(10_000, () => reject(new Error(`no answer to ${type}`)));
      this.asked[type].push((answer) => {
        cancel();
        resolve(answer);
      });
    });
  }

  private ways(options: LiveOptions, live: string, http: Http): Transport[] {
    const { subprotocol } = options.codec ?? jsonCodec;
    const open = options.open ?? ((protocol: string) => openWebSocket(live, protocol, options.WebSocket));
    const all = {
      websocket: () => open(subprotocol),
      // Few need it: it is not loaded before.
      sse: async () => {
        const { EventStreams } = await import("./sse.ts");
        return new EventStreams((path, init) => http.fetch(path, init), this.intents());
      },
    };
    // A page that opens sockets in its own way does not say where else the server is, and event streams carry JSON only.
    const both = options.open || options.codec ? (["websocket"] as const) : (["websocket", "sse"] as const);
    return (options.transports ?? both).map((name) => ({ name, open: all[name] }));
  }

  /** What streams of events are to carry as they are opened. */
  protected intents() {
    const subscriptions = [...this.subscriptions].flatMap((s) => s.intent() ?? []);
    const rooms = [...this.rooms.values()].filter((r) => r.isWanted).map((r) => r.request());
    return { subscriptions, rooms };
  }

  private parts() {
    return [...this.subscriptions, ...this.rooms.values()];
  }

  private changed(state: LinkState): void {
    if (!isOpen(state)) {
      this.credits?.stop();
      this.asked = { stats: [], rooms: [] };
      for (const part of this.parts()) part.lost();
      this.outbox.lost();
    }
    this.emit("state", state);
  }

  private receive(message: ServerMessage, bytes: number): void {
    this.counts.bytes += bytes;
    switch (message.type) {
      case "welcome":
        this.welcome(message.payload);
        break;
      case "subscribed":
        for (const s of this.subscriptions) {
          if (!s.subscribed(message.payload)) continue;
          const { alerts = [], resumed } = message.payload;
          if (resumed) for (const alert of alerts) this.alerts.take(alert);
          else this.alerts.snapshot(alerts, s.patterns);
        }
        break;
      case "updates":
        this.counts.frames++;
        for (const s of this.subscriptions) if (s.updates(message.payload, bytes)) break;
        this.credits?.frame();
        break;
      case "series":
        for (const s of this.subscriptions) if (s.series(message.payload)) break;
        break;
      case "resync": {
        const { view, id, reason } = message.payload;
        for (const s of this.subscriptions) if (s.resync(view, id, reason)) break;
        break;
      }
      case "alert":
        this.alerts.take(message.payload);
        break;
      case "error":
        this.error(message.payload);
        break;
      case "authenticated":
        this.emit("authenticated", message.payload);
        // What was refused may be permitted now.
        for (const s of this.subscriptions) s.opened();
        break;
      case "token_expiring":
        this.emit("expiring", message.payload);
        break;
      case "draining":
        this.emit("draining", message.payload);
        break;
      case "stats":
      case "rooms":
        // All who ask get the same answer.
        for (const tell of this.asked[message.type].splice(0)) tell(message.payload as never);
        break;
      default:
        this.receiveRoom(message);
    }
  }

  protected receiveRoom(message: ServerMessage): void {
    switch (message.type) {
      case "joined":
        this.rooms.get(message.payload.room)?.joined(message.payload);
        break;
      case "left":
        this.rooms.get(message.payload.room)?.left();
        break;
      case "presence":
        this.rooms.get(message.payload.room)?.presence(message.payload);
        break;
      case "receipt":
        this.outbox.receipt(message.payload.id, message.payload.version);
        break;
      case "message": {
        const { room, user, version } = message.payload;
        if (room !== undefined) {
          this.rooms.get(room)?.message(message.payload);
          break;
        }
        if (user !== undefined) {
          // They come again with each connection until they are acknowledged; others do not.
          if (version <= (this.inbox.get(user) ?? -1)) break;
          this.inbox.set(user, version);
        }
        this.emit("message", message.payload);
        break;
      }
    }
  }

  private welcome(welcome: Welcome): void {
    if (this.epoch !== "" && this.epoch !== welcome.epoch) {
      for (const part of this.parts()) part.reset();
      this.alerts.reset();
      this.inbox.clear();
      this.read = -1;
    }
    this.epoch = welcome.epoch;
    this.session = welcome.session;
    this.credits?.start();
    this.emit("welcome", welcome);
    for (const part of this.parts()) part.opened();
    this.ack(this.read);
    this.outbox.opened();
  }

  private error(error: ErrorMessage): void {
    // Earlier servers do not know credits, and close on who goes on.
    if (error.code === "message_type" && this.credits?.stop()) return;
    for (const s of this.subscriptions) if (s.error(error)) return;
    if (this.outbox.error(error)) return;
    // With an id it is about what was posted, of which nobody wants to know any more.
    const room = error.id === undefined && this.rooms.get(error.room ?? "");
    if (room) room.error(error);
    else this.emit("problem", error);
  }
}
