import type { LiveOptions } from "./client.ts";
import type { Screen } from "./clock.ts";
import type { DictionaryEntry } from "./protocol.ts";
import type { SubscribeOptions, Subscription } from "./subscription.ts";
import { SignInNeeded, type TokenReason } from "./tokens.ts";
import { emptyUpdate, merge, type Update } from "./update.ts";
import type { SeriesSink } from "./view.ts";
import { type Batch, CELLS, type FromWorker, type Port, type ToWorker, WIDTH } from "./worker-protocol.ts";
import { RelayClient } from "./worker-relay.ts";

interface Slot {
  readonly k: number;
  readonly update: Update;
  filled: boolean;
}

/** The page's screen, of which the worker hears by messages: one batch is on its way at a time. */
class PageScreen implements Screen {
  private looked = true;
  private busy = false;
  private waiting: (() => void)[] = [];
  private changed: () => void = () => {};

  get free(): boolean {
    return !this.busy;
  }

  painted(run: () => void): void {
    if (this.busy) this.waiting.push(run);
    else queueMicrotask(run);
  }

  visible(): boolean {
    return this.looked;
  }

  watch(changed: () => void): () => void {
    this.changed = changed;
    return () => {
      this.changed = () => {};
    };
  }

  posted(): void {
    this.busy = true;
  }

  shown(): void {
    this.busy = false;
    for (const run of this.waiting.splice(0)) run();
  }

  look(visible: boolean): void {
    this.looked = visible;
    this.changed();
  }
}

/** Merges what happens in a subscription until the page is free to take it: bounded by the number of its series. */
class Gatherer implements SeriesSink<Slot> {
  subscription: Subscription<Slot> | undefined;
  private readonly slots = new Map<string, Slot>();
  private touched = new Set<Slot>();
  /** By k, the newest row that the next one did not follow: it ends a chain. */
  private readonly ended = new Map<number, number[]>();
  private readonly entries = new Map<number, DictionaryEntry>();
  private readonly left = new Set<number>();
  private readonly entered = new Set<number>();
  private removed: number[] = [];
  private fresh = false;
  private serial = 0;

  constructor(
    private readonly n: number,
    private readonly flush: () => void,
  ) {}

  open(entry: DictionaryEntry): Slot {
    let slot = this.slots.get(entry.series);
    if (!slot) {
      slot = { k: this.serial++, update: emptyUpdate(), filled: false };
      this.slots.set(entry.series, slot);
    }
    this.entries.set(slot.k, entry);
    return slot;
  }

  accept(slot: Slot, u: Readonly<Update>): void {
    if (slot.filled && !merge(slot.update, u)) {
      this.ended.set(slot.k, cells(slot.update));
      slot.filled = false;
    }
    if (!slot.filled) Object.assign(slot.update, u);
    slot.filled = true;
    this.touched.add(slot);
    this.left.delete(slot.k);
  }

  enter(slot: Slot): void {
    this.left.delete(slot.k);
    this.entered.add(slot.k);
  }

  change(slot: Slot, entry: DictionaryEntry): void {
    this.entries.set(slot.k, entry);
    this.flush();
  }

  leave(slot: Slot): void {
    this.entered.delete(slot.k);
    this.left.add(slot.k);
  }

  remove(slot: Slot): void {
    for (const [name, s] of this.slots) if (s === slot) this.slots.delete(name);
    this.touched.delete(slot);
    this.entries.delete(slot.k);
    this.removed.push(slot.k);
    this.flush();
  }

  reset(): void {
    this.touched.clear();
    for (const slot of this.slots.values()) slot.filled = false;
    this.ended.clear();
    this.fresh = true;
  }

  snapshot(): void {
    this.flush();
  }

  frame(): void {
    this.flush();
  }

  /** What has gathered, or null if that is nothing. */
  take(): Batch | null {
    const { n, removed, fresh: reset } = this;
    const rows = this.rows();
    const entries = [...this.entries].map(([k, entry]) => ({ k, entry }));
    const left = [...this.left];
    const entered = [...this.entered];
    if (rows.length + entries.length + left.length + entered.length + removed.length === 0 && !reset)
      return null;
    this.entries.clear();
    this.removed = [];
    this.left.clear();
    this.entered.clear();
    this.fresh = false;
    return { n, reset, entries, rows, entered, left, removed };
  }

  private rows(): Float64Array<ArrayBuffer> {
    const ended = [...this.ended].flatMap(([k, row]) => [k, ...row]);
    const rows = new Float64Array(ended.length + this.touched.size * WIDTH);
    rows.set(ended);
    let at = ended.length;
    for (const slot of this.touched) {
      rows[at] = slot.k;
      for (const [c, name] of CELLS.entries()) rows[at + 1 + c] = slot.update[name];
      at += WIDTH;
      slot.filled = false;
    }
    this.ended.clear();
    this.touched.clear();
    return rows;
  }
}

function cells(u: Update): number[] {
  return CELLS.map((name) => u[name]);
}

/** Hold the connection of the page at the other end of port. */
export function serve(port: Port<ToWorker, FromWorker>, defaults: Partial<LiveOptions> = {}): void {
  const host = new Host(port, defaults);
  port.onmessage = ({ data }) => host.receive(data);
}

interface Question {
  resolve(token: string | null): void;
  reject(error: Error): void;
}

class Host {
  private readonly screen = new PageScreen();
  private readonly gatherers = new Map<number, Gatherer>();
  private readonly questions = new Map<number, Question>();
  private client: RelayClient | undefined;
  private serial = 0;

  constructor(
    private readonly port: Port<ToWorker, FromWorker>,
    private readonly defaults: Partial<LiveOptions>,
  ) {}

  receive(message: ToWorker): void {
    switch (message.op) {
      case "connect":
        this.client ??= this.open(message);
        this.client.connect();
        break;
      case "close":
        this.client?.close();
        break;
      case "token":
        this.answer(message);
        break;
      case "subscribe":
        this.subscribe(message.n, message.options);
        break;
      case "change":
        this.gatherers.get(message.n)?.subscription?.change(message.options);
        break;
      case "unsubscribe":
        this.gatherers.get(message.n)?.subscription?.unsubscribe();
        this.gatherers.delete(message.n);
        break;
      case "room": {
        const error = this.client?.carry(message.request);
        if (error) this.say({ op: "problem", error });
        break;
      }
      case "acknowledge":
        this.client?.acknowledge(message.message);
        break;
      case "painted":
        this.screen.shown();
        this.flush();
        break;
      case "visible":
        this.screen.look(message.visible);
        break;
    }
  }

  private open({ options, tokens }: ToWorker & { op: "connect" }): RelayClient {
    const getToken = tokens ? (reason: TokenReason) => this.ask(reason) : undefined;
    const client = new RelayClient(
      { ...options, ...this.defaults, screen: this.screen, getToken },
      (message) => this.say({ op: "room", message }),
    );
    client.on("state", (state) => this.say({ op: "state", state }));
    client.on("welcome", (welcome) => this.say({ op: "welcome", welcome }));
    client.on("problem", (error) => this.say({ op: "problem", error }));
    client.on("message", (message) => this.say({ op: "message", message }));
    client.alerts.on("transition", (alert) => this.say({ op: "alert", alert }));
    return client;
  }

  private subscribe(n: number, options: SubscribeOptions): void {
    const gatherer = new Gatherer(n, () => this.flush());
    const subscription = this.client?.subscribe(options, gatherer);
    if (!subscription) return;
    gatherer.subscription = subscription;
    this.gatherers.set(n, gatherer);
    subscription.on("state", (state) => this.say({ op: "subscription", n, state }));
    subscription.on("resync", ({ reason }) => this.say({ op: "resync", n, reason }));
    subscription.on("error", (error) => this.say({ op: "problem", error }));
  }

  /** Post what has gathered, unless the page has yet to show the batch before. */
  private flush(): void {
    if (!this.screen.free) return;
    const batches = [...this.gatherers.values()].flatMap((g) => g.take() ?? []);
    if (batches.length === 0) return;
    this.screen.posted();
    const buffers = batches.map((b) => b.rows.buffer);
    this.say({ op: "batch", batches }, buffers);
  }

  private ask(reason: TokenReason): Promise<string | null> {
    return new Promise((resolve, reject) => {
      const n = ++this.serial;
      this.questions.set(n, { resolve, reject });
      this.say({ op: "want token", n, reason });
    });
  }

  private answer({ n, token, problem }: ToWorker & { op: "token" }): void {
    const question = this.questions.get(n);
    this.questions.delete(n);
    if (problem === undefined) question?.resolve(token);
    else if (problem.startsWith(SIGN_IN)) question?.reject(new SignInNeeded(problem.slice(SIGN_IN.length)));
    else question?.reject(new Error(problem));
  }

  private say(message: FromWorker, transfer: Transferable[] = []): void {
    this.port.postMessage(message, transfer);
  }
}

/** How the text of a SignInNeeded begins: errors lose their class on the way. */
const SIGN_IN = "SignInNeeded: ";

declare const DedicatedWorkerGlobalScope: { new (): unknown } | undefined;

// As the script of a worker it serves the page that has started it.
if (typeof DedicatedWorkerGlobalScope !== "undefined" && globalThis instanceof DedicatedWorkerGlobalScope) {
  serve(globalThis as unknown as Port<ToWorker, FromWorker>);
}
