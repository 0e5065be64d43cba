import { LiveClient, type LiveOptions } from "./client.ts";
import type { Clock, Screen } from "./clock.ts";
import type { AlertMessage, ClientMessage, Row, Subscribed } from "./protocol.ts";
import type { Socket } from "./socket.ts";
import type { FromWorker, Port, ToWorker } from "./worker-protocol.ts";

/** Columns of a row, in the order in which the server sends them. */
export const COLUMNS = [
  "i",
  "version",
  "since",
  "n",
  "late",
  "invalid",
  "first_ts",
  "last_ts",
  "last",
  "min",
  "max",
  "sum",
  "avg",
  "lo",
  "hi",
  "state",
  "score",
  "worst",
  "ingest_ts",
  "emit_ts",
] as const;

/** A clock that moves when told to. */
export class FakeClock implements Clock {
  private time = 0;
  private timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((t) => t !== timer);
    };
  }

  /** Let ms pass, running what falls due in order. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }
}

/** A screen that draws when told to. */
export class FakeScreen implements Screen {
  private looked = true;
  private waiting: (() => void)[] = [];
  private changed: () => void = () => {};

  painted(run: () => void): void {
    this.waiting.push(run);
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

  paint(): void {
    for (const run of this.waiting.splice(0)) run();
  }

  show(visible: boolean): void {
    this.looked = visible;
    this.changed();
  }
}

type Sent<T extends ClientMessage["type"]> = Extract<ClientMessage, { type: T }>["payload"];

/** The server's end of a socket. */
export class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  readonly sent: ClientMessage[] = [];
  closedWith: number | undefined;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as ClientMessage);
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  /** Payloads of the client's messages of a type. */
  got<T extends ClientMessage["type"]>(type: T): Sent<T>[] {
    return this.sent.filter((m) => m.type === type).map((m) => m.payload as Sent<T>);
  }

  last<T extends ClientMessage["type"]>(type: T): Sent<T> {
    const last = this.got(type).at(-1);
    if (!last) throw new Error(`no ${type} was sent`);
    return last;
  }

  say(type: string, payload: object): void {
    this.onmessage?.({ data: JSON.stringify({ type, payload }) });
  }

  lose(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  welcome(
    more: { epoch?: string; read?: readonly string[]; session?: string; heartbeat_ms?: number } = {},
  ): void {
    this.say("welcome", {
      protocol: "weir.v1.json",
      epoch: "e1",
      session: "me",
      server_time: 1e15,
      heartbeat_ms: 1000,
      insecure: false,
      ...more,
    });
  }

  /** Answer the last subscribe. */
  snapshot(
    view: number,
    series: readonly string[],
    rows: readonly Row[] = [],
    more: Partial<Subscribed> = {},
  ): void {
    this.say("subscribed", {
      id: this.last("subscribe").id,
      view,
      max_hz: 20,
      columns: COLUMNS,
      dictionary: series.map((name, i) => ({ i, series: name })),
      rows,
      alerts: [],
      cursor: "c",
      push_ts: 1e15,
      ...more,
    });
  }

  updates(view: number, rows: readonly Row[], more: object = {}): void {
    this.say("updates", { view, push_ts: 1e15, rows, ...more });
  }
}

/** A server that answers as its script says, and the client that talks to it in virtual time. */
export class FakeServer {
  readonly clock = new FakeClock();
  readonly screen = new FakeScreen();
  readonly sockets: FakeSocket[] = [];
  /** While set, sockets cannot be opened. */
  down = false;

  /** The socket that was opened last. */
  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (!last) throw new Error("nobody has dialled");
    return last;
  }

  client(options: Partial<LiveOptions> = {}): LiveClient {
    return new LiveClient({
      open: () => this.open(),
      clock: this.clock,
      screen: this.screen,
      random: () => 0.5,
      ...options,
    });
  }

  open(): FakeSocket {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    if (this.down) this.clock.after(0, () => socket.lose());
    return socket;
  }

  /** Let ms pass, in which the server is there. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left));
      this.socket.say("app_pong", {});
    }
  }

  /** Cut the connection, and welcome the client when it comes back. */
  reconnect(epoch = "e1"): void {
    const before = this.sockets.length;
    this.socket.lose();
    while (this.sockets.length === before) this.clock.advance(1000);
    this.socket.welcome({ epoch });
  }
}

/** A row of series i that covers (since, version] with one reading of this value. */
export function row(i: number, since: number, version: number, value = 1): Row {
  const t = 1e15 + version * 1000;
  return [i, version, since, 1, 0, 0, t, t, value, value, value, value, value, null, null, 0, 0, 0, t, t];
}

export function alert(id: string, version: number, more: Partial<AlertMessage> = {}): AlertMessage {
  return {
    id,
    rule: "r",
    series: "a/t",
    phase: "firing",
    version,
    raised: 1,
    started_ts: 1,
    ts: version,
    value: 1,
    score: null,
    lo: null,
    hi: null,
    detector: "ewma",
    summary: "high",
    ...more,
  };
}

/** Let promises that have settled tell. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** Two ports that deliver at once, by structured clone as real ones do. */
export function channel(): [Port<FromWorker, ToWorker>, Port<ToWorker, FromWorker>] {
  const page: Port<FromWorker, ToWorker> = {
    onmessage: null,
    postMessage: (m) => worker.onmessage?.({ data: structuredClone(m) } as MessageEvent<ToWorker>),
  };
  const worker: Port<ToWorker, FromWorker> = {
    onmessage: null,
    postMessage: (m, transfer) =>
      page.onmessage?.({ data: structuredClone(m, { transfer }) } as MessageEvent<FromWorker>),
  };
  return [page, worker];
}
