import { type Clock, type Screen, systemClock, systemScreen } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import { INITIAL, isOpen, type LinkState } from "./machine.ts";
import type { SendOptions, Sent } from "./outbox.ts";
import type {
  AlertMessage,
  ErrorMessage,
  Message,
  Subscribed,
  Target,
  Updates,
  Welcome,
} from "./protocol.ts";
import type { Room } from "./room.ts";
import { SeriesStore, type StoredSeries } from "./store.ts";
import type { SubscribeOptions, SubscriptionState } from "./subscription.ts";
import type { GetToken } from "./tokens.ts";
import { emptyUpdate } from "./update.ts";
import type { SeriesSink } from "./view.ts";
import {
  type Batch,
  CELLS,
  type FromWorker,
  type Port,
  type ToWorker,
  WIDTH,
  type WorkerOptions,
} from "./worker-protocol.ts";
import { PageRooms } from "./worker-rooms.ts";

export type { Room, WorkerOptions };

export interface WorkerEvents {
  state: LinkState;
  welcome: Welcome;
  /** One transition of an alert: each once. */
  alert: AlertMessage;
  /** To this user, this session or all: each once. */
  message: Message;
  problem: ErrorMessage;
}

/** What a sink gets in a worker's page: whole frames are known in the worker only, so these are not called. */
export type PageSink<T> = Omit<SeriesSink<T>, "frame" | "snapshot"> & {
  snapshot?(snapshot?: Subscribed): void;
  /** A batch has been delivered whole. */
  frame?(frame?: Updates, bytes?: number): void;
};

/** A subscription whose rows are read and merged in the worker. */
export class WorkerSubscription<T = unknown> extends Emitter<{
  state: SubscriptionState;
  resync: { readonly reason: string };
}> {
  state: SubscriptionState = "idle";
  private readonly targets = new Map<number, T>();
  private readonly scratch = emptyUpdate();

  constructor(
    readonly sink: PageSink<T>,
    private readonly n: number,
    private readonly say: (message: ToWorker) => void,
    private readonly forget: (n: number) => void,
  ) {
    super();
  }

  change(options: Partial<SubscribeOptions>): void {
    this.say({ op: "change", n: this.n, options: options as SubscribeOptions });
  }

  unsubscribe(): void {
    this.say({ op: "unsubscribe", n: this.n });
    this.forget(this.n);
  }

  entered(state: SubscriptionState): void {
    this.state = state;
    this.emit("state", state);
  }

  resynced(reason: string): void {
    this.emit("resync", { reason });
  }

  take(batch: Batch): void {
    const { sink, targets, scratch } = this;
    if (batch.reset) sink.reset?.();
    // First, as one that comes back has the same name.
    this.each(batch.removed, (target) => sink.remove?.(target));
    for (const k of batch.removed) targets.delete(k);
    for (const { k, entry } of batch.entries) {
      const known = targets.get(k);
      if (known === undefined) targets.set(k, sink.open(entry));
      else sink.change?.(known, entry);
    }
    for (let at = 0; at < batch.rows.length; at += WIDTH) {
      const target = targets.get(batch.rows[at] as number);
      if (target === undefined) continue;
      for (const [c, name] of CELLS.entries()) scratch[name] = batch.rows[at + 1 + c] as number;
      sink.accept(target, scratch);
    }
    this.each(batch.entered, (target) => sink.enter?.(target));
    this.each(batch.left, (target) => sink.leave?.(target));
    sink.frame?.();
  }

  private each(all: readonly number[], run: (target: T) => void): void {
    for (const k of all) {
      const target = this.targets.get(k);
      if (target !== undefined) run(target);
    }
  }
}

export interface LiveWorkerOptions extends WorkerOptions {
  readonly getToken?: GetToken;
  /** How long a message may wait for its receipt, reconnects included, ms. Default 60,000. */
  readonly receiptTimeout?: number;
  readonly clock?: Clock;
  readonly screen?: Screen;
}

/**
 * A live connection that a worker holds: parsing, merging and the proof of completeness cost the page nothing, and it
 * gets one merged batch per picture that it draws.
 */
export class LiveWorker extends Emitter<WorkerEvents> {
  state: LinkState = INITIAL;
  private readonly subscriptions = new Map<number, WorkerSubscription<unknown>>();
  private readonly screen: Screen;
  private readonly rooms: PageRooms;
  private readonly options: WorkerOptions;
  private readonly getToken: GetToken | undefined;
  private serial = 0;

  /** worker: `new Worker(new URL("@weir/live/worker", import.meta.url), { type: "module" })` or the like. */
  constructor(
    private readonly worker: Port<FromWorker, ToWorker>,
    options: LiveWorkerOptions,
  ) {
    super();
    const { getToken, receiptTimeout = 60_000, clock = systemClock, screen, ...rest } = options;
    this.options = rest;
    this.getToken = getToken;
    this.screen = screen ?? systemScreen(clock);
    this.rooms = new PageRooms((request) => this.say({ op: "room", request }), clock, receiptTimeout);
    worker.onmessage = ({ data }) => this.receive(data);
    this.screen.watch(() => this.say({ op: "visible", visible: this.screen.visible() }));
    this.say({ op: "connect", options: this.options, tokens: getToken !== undefined });
  }

  /** Connect again after close, or at once after a failure. */
  connect(): void {
    this.say({ op: "connect", options: this.options, tokens: this.getToken !== undefined });
  }

  close(): void {
    this.say({ op: "close" });
  }

  subscribe(options: SubscribeOptions): WorkerSubscription<StoredSeries> & { readonly sink: SeriesStore };
  subscribe<T>(options: SubscribeOptions, sink: PageSink<T>): WorkerSubscription<T>;
  subscribe<T>(options: SubscribeOptions, sink?: PageSink<T>): WorkerSubscription<T> {
    const n = ++this.serial;
    const to = sink ?? (new SeriesStore() as unknown as PageSink<T>);
    const forget = () => void this.subscriptions.delete(n);
    const subscription = new WorkerSubscription<T>(to, n, (message) => this.say(message), forget);
    this.subscriptions.set(n, subscription as WorkerSubscription<unknown>);
    this.say({ op: "subscribe", n, options });
    return subscription;
  }

  /** The room of that path, as a LiveClient's; it has to be joined. */
  room(name: string): Room {
    return this.rooms.room(name);
  }

  /** Send to a room, a user, a session or all. Sent again after a reconnect until there is a receipt. */
  send(target: Target, type: string, payload: unknown, options?: SendOptions): Sent {
    return this.rooms.outbox.send(target, type, payload, options);
  }

  /** The message, and all to this user before it, is read and need not come again; others than to a user do not anyway. */
  acknowledge({ user, version }: Message): void {
    this.say({ op: "acknowledge", message: { user, version } });
  }

  private say(message: ToWorker): void {
    this.worker.postMessage(message, []);
  }

  private receive(message: FromWorker): void {
    switch (message.op) {
      case "state":
        this.state = message.state;
        if (!isOpen(message.state)) this.rooms.lost();
        this.emit("state", message.state);
        break;
      case "welcome":
        this.emit("welcome", message.welcome);
        this.rooms.opened(message.welcome);
        break;
      case "room":
        this.rooms.take(message.message);
        break;
      case "message":
        this.emit("message", message.message);
        break;
      case "alert":
        this.emit("alert", message.alert);
        break;
      case "problem":
        if (!this.rooms.error(message.error)) this.emit("problem", message.error);
        break;
      case "subscription":
        this.subscriptions.get(message.n)?.entered(message.state);
        break;
      case "resync":
        this.subscriptions.get(message.n)?.resynced(message.reason);
        break;
      case "want token":
        void this.token(message.n, message.reason);
        break;
      case "batch":
        for (const batch of message.batches) this.subscriptions.get(batch.n)?.take(batch);
        this.screen.painted(() => this.say({ op: "painted" }));
        break;
    }
  }

  private async token(n: number, reason: Parameters<GetToken>[0]): Promise<void> {
    try {
      const token = (await this.getToken?.(reason)) ?? null;
      this.say({ op: "token", n, token });
    } catch (error) {
      this.say({ op: "token", n, token: null, problem: String(error) });
    }
  }
}
