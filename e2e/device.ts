import { once } from "node:events";
import WebSocket from "ws";

interface Receipt {
  readonly accepted: number;
  readonly rejected?: readonly unknown[];
}

/** A device that streams over a WebSocket, as any client would: no code of Weir's in it. */
export class Device {
  private readonly receipts: Receipt[] = [];
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly socket: WebSocket,
    private readonly path: string,
  ) {
    socket.on("message", (data) => {
      const message = JSON.parse(String(data)) as { type: string; payload: Receipt };
      if (message.type === "receipt") this.receipts.push(message.payload);
    });
  }

  static async connect(url: string, path: string, key: string): Promise<Device> {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/ingest`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const device = new Device(socket, path);
    await once(socket, "open");
    return device;
  }

  /** Readings that Weir has said it stored. */
  get accepted(): number {
    return this.receipts.reduce((n, r) => n + r.accepted, 0);
  }

  send(metric: string, value: number): void {
    this.socket.send(JSON.stringify({ device: this.path, metric, ts: Date.now(), value }));
  }

  /** Send one reading of each metric every period ms; values are made from the number of the round. */
  stream(period: number, metrics: Record<string, (round: number) => number>): void {
    let round = 0;
    this.timer = setInterval(() => {
      for (const [metric, value] of Object.entries(metrics)) this.send(metric, value(round));
      round++;
    }, period);
  }

  close(): void {
    clearInterval(this.timer);
    this.socket.close();
  }
}

/** Repeatable noise in [-1, 1]. */
export function noise(round: number): number {
  const x = Math.sin(round * 127.1) * 43_758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}
