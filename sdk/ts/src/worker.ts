import { LiveClient, type LiveOptions } from "./client.ts";
import type { Screen } from "./clock.ts";
import type { DictionaryEntry } from "./protocol.ts";
import type { Subscription } from "./subscription.ts";
import { SignInNeeded, type TokenReason } from "./tokens.ts";
import { emptyUpdate, merge, type Update } from "./update.ts";
import type { SeriesSink } from "./view.ts";
import { type Batch, CELLS, type FromWorker, type Port, type ToWorker, WIDTH } from "./worker-protocol.ts";

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
  /** Rows that the next ones did not follow: they end a chain. */
  private ended: number[] = [];
  private entries: { k: number; entry: DictionaryEntry }[] = [];
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
    this.entries.push({ k: slot.k, entry });
    return slot;
  }

  accept(slot: Slot, u: Readonly<Update>): void {
    if (slot.filled && !merge(slot.update, u)) {
      this.ended.push(slot.k, ...cells(slot.update));
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
    this.entries.push({ k: slot.k, entry });
    this.flush();
  }

  leave(slot: Slot): void {
    this.entered.delete(slot.k);
    this.left.add(slot.k);
  }

  remove(slot: Slot): void {
    for (const [name, s] of this.slots) if (s === slot) this.slots.delete(name);
    this.touched.delete(slot);
    this.removed.push(slot.k);
    this.flush();
  }

  reset(): void {
    this.touched.clear();
    for (const slot of this.slots.values()) slot.filled = false;
    this.ended = [];
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
    const { n, entries, removed, fresh: reset } = this;
    const rows = this.rows();
    const left = [...this.left];
    const entered = [...this.entered];
    if (rows.length + entries.length + left.length + entered.length + removed.length === 0 && !reset)
      return null;
    this.entries = [];
    this.removed = [];
    this.left.clear();
    this.entered.clear();
    this.fresh = false;
    return { n, reset, entries, rows, entered, left, removed };
  }

  private rows(): Float64Array<ArrayBuffer> {
    const rows = new Float64Array(this.ended.length + this.touched.size * WIDTH);
    rows.set(this.ended);
    let at = this.ended.length;
    for (const slot of this.touched) {
      rows[at] = slot.k;
      for (const [c, name] of CELLS.entries()) rows[at + 1 + c] = slot.update[name];
      at += WIDTH;
      slot.filled = false;
    }
    this.ended = [];
    this.touched.clear();
    return rows;
  }
}

function cells(u: Update): number[] {
  return CELLS.map((name) => u[name]);
}

/** Hold the connection of the page at the other end of port. */
export function serve(port: Port<ToWorker, FromWorker>, defaults: Partial<LiveOptions> = {}): void {
  const screen = new PageScreen();
  const gatherers = new Map<number, Gatherer>();
  const questions = new Map<number, { resolve(token: string | null): void; reject(error: Error): void }>();
  let client: LiveClient | undefined;
  let serial = 0;
  const say = (message: FromWorker, transfer: Transferable[] = []) => port.postMessage(message, transfer);

  const flush = () => {
    if (!screen.free) return;
    const batches = [...gatherers.values()].flatMap((g) => g.take() ?? []);
    if (batches.length === 0) return;
    screen.posted();
    say(
      { op: "batch", batches },
      batches.map((b) => b.rows.buffer),
    );
  };
  const getToken = (reason: TokenReason) =>
    new Promise<string | null>((resolve, reject) => {
      questions.set(++serial, { resolve, reject });
      say({ op: "want token", n: serial, reason });
    });

  const connect = (message: ToWorker & { op: "connect" }) => {
    if (!client) {
      client = new LiveClient({
        ...message.options,
        ...defaults,
        screen,
        ...(message.tokens && { getToken }),
      });
      client.on("state", (state) => say({ op: "state", state }));
      client.on("welcome", (welcome) => say({ op: "welcome", welcome }));
      client.on("problem", (error) => say({ op: "problem", error }));
      client.alerts.on("transition", (alert) => say({ op: "alert", alert }));
    }
    client.connect();
  };
  const subscribe = ({ n, options }: ToWorker & { op: "subscribe" | "change" }) => {
    const gatherer = new Gatherer(n, flush);
    const subscription = client?.subscribe(options, gatherer);
    if (!subscription) return;
    gatherer.subscription = subscription;
    gatherers.set(n, gatherer);
    subscription.on("state", (state) => say({ op: "subscription", n, state }));
    subscription.on("resync", ({ reason }) => say({ op: "resync", n, reason }));
    subscription.on("error", (error) => say({ op: "problem", error }));
  };
  const answer = ({ n, token, problem }: ToWorker & { op: "token" }) => {
    const question = questions.get(n);
    questions.delete(n);
    if (problem === undefined) question?.resolve(token);
    else
      question?.reject(
        problem.startsWith("SignInNeeded: ") ? new SignInNeeded(problem.slice(14)) : new Error(problem),
      );
  };

  port.onmessage = ({ data }) => {
    switch (data.op) {
      case "connect":
        connect(data);
        break;
      case "close":
        client?.close();
        break;
      case "token":
        answer(data);
        break;
      case "subscribe":
        subscribe(data);
        break;
      case "change":
        gatherers.get(data.n)?.subscription?.change(data.options);
        break;
      case "unsubscribe":
        gatherers.get(data.n)?.subscription?.unsubscribe();
        gatherers.delete(data.n);
        break;
      case "painted":
        screen.shown();
        flush();
        break;
      case "visible":
        screen.look(data.visible);
        break;
    }
  };
}

declare const DedicatedWorkerGlobalScope: { new (): unknown } | undefined;

// As the script of a worker it serves the page that has started it.
if (typeof DedicatedWorkerGlobalScope !== "undefined" && globalThis instanceof DedicatedWorkerGlobalScope) {
  serve(globalThis as unknown as Port<ToWorker, FromWorker>);
}
