import type { Clock, Socket } from "./connection";
import { type ClientMessage, COLUMNS, type Row } from "./protocol";

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

/** The server's end of a socket. */
export class FakeSocket implements Socket {
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

  say(type: string, payload: object): void {
    this.onmessage?.({ data: JSON.stringify({ type, payload }) });
  }

  welcome(epoch = "e1", read?: readonly string[]): void {
    this.say("welcome", {
      protocol: "weir.v1.json",
      epoch,
      session: "s",
      server_time: 1e15,
      heartbeat_ms: 1000,
      insecure: false,
      ...(read && { read }),
    });
  }

  /** Id of the last subscribe. */
  subscription(): string {
    const asked = this.sent.filter((m) => m.type === "subscribe").at(-1);
    return asked ? asked.payload.id : "";
  }

  snapshot(view: number, series: readonly string[], rows: readonly Row[] = []): void {
    this.say("subscribed", {
      id: this.subscription(),
      view,
      max_hz: 20,
      columns: COLUMNS,
      dictionary: series.map((name, i) => ({ i, series: name })),
      rows,
      alerts: [],
      cursor: "c",
      push_ts: 1e15,
    });
  }

  updates(view: number, ...rows: Row[]): void {
    this.say("updates", { view, push_ts: 1e15, rows });
  }
}

/** A row of series i that covers (since, version] with one reading of this value. */
export function row(i: number, since: number, version: number, value = 1): Row {
  const t = 1e15 + version;
  return [i, version, since, 1, 0, 0, t, t, value, value, value, value, value, null, null, 0, 0, 0, t, t];
}
