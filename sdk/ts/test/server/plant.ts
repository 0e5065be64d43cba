import { WebSocket } from "ws";
import { startWeir, type Weir } from "../../../../e2e/process.ts";
import { LiveClient, type LiveOptions, type SeriesSink, type Update } from "../../src/index.ts";
import { NO_VERSION } from "../../src/update.ts";

export { startWeir, type Weir };

/** Send readings as a device does; resolves when they are stored. */
export async function send(
  weir: Weir,
  device: string,
  metric: string,
  values: readonly number[],
): Promise<void> {
  const now = Date.now();
  const readings = values.map((value, i) => ({ device, metric, ts: now + i / 1000, value }));
  const answer = await fetch(`${weir.url}/v1/readings`, {
    method: "POST",
    headers: { authorization: `Bearer ${weir.key}`, "content-type": "application/json" },
    body: JSON.stringify(readings),
  });
  const said = (await answer.json()) as { accepted?: number };
  if (!answer.ok || said.accepted !== values.length) throw new Error(`not stored: ${JSON.stringify(said)}`);
}

/** Make credentials as an admin does. */
export async function make(weir: Weir, path: string, body: object): Promise<{ token: string }> {
  const headers = { authorization: `Bearer ${weir.key}`, "content-type": "application/json" };
  const answer = await fetch(weir.url + path, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 201) throw new Error(await answer.text());
  return (await answer.json()) as { token: string };
}

/** Sockets that a test can cut. */
export class Cable {
  private readonly sockets = new Set<WebSocket>();
  readonly WebSocket: LiveOptions["WebSocket"];

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends WebSocket {
      constructor(url: string, protocols: string | string[]) {
        super(url, protocols);
        sockets.add(this);
        this.once("close", () => sockets.delete(this));
      }
    } as NonNullable<LiveOptions["WebSocket"]>;
  }

  cut(): void {
    for (const socket of this.sockets) socket.terminate();
  }
}

/** Adds up what rows tell, and whether they follow one another. */
export class Ledger implements SeriesSink<string> {
  readonly readings = new Map<string, number>();
  readonly versions = new Map<string, number>();
  readonly max = new Map<string, number>();
  readonly left = new Set<string>();
  /** Rows that did not begin where the one before ended. */
  broken = 0;

  open({ series }: { series: string }): string {
    return series;
  }

  accept(series: string, u: Readonly<Update>): void {
    if (u.since !== (this.versions.get(series) ?? NO_VERSION)) this.broken++;
    this.versions.set(series, u.version);
    this.readings.set(series, (this.readings.get(series) ?? 0) + u.n);
    this.max.set(series, Math.max(this.max.get(series) ?? Number.NEGATIVE_INFINITY, u.max));
    this.left.delete(series);
  }

  leave(series: string): void {
    this.left.add(series);
  }
}

export function connect(weir: Weir, options: Partial<LiveOptions> = {}): LiveClient {
  return new LiveClient({
    url: weir.url,
    getToken: () => weir.key,
    WebSocket: new Cable().WebSocket,
    backoff: { base: 20, cap: 100 },
    ...options,
  });
}

/** Wait until it holds: the real server has its own clock. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((again) => setTimeout(again, 10));
  }
}
