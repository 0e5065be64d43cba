import type { Clock } from "./clock.ts";
import { isPassing, Refused } from "./http.ts";
import type { ClientMessage, ErrorMessage, SendRequest } from "./protocol.ts";

/** A message on its way. */
export interface Sent {
  readonly id: string;
  /** Resolves with the message's version once the server has stored it. Rejects with Refused, and then it was not. */
  readonly done: Promise<number>;
}

interface Waiting {
  readonly request: SendRequest;
  /** On this connection. */
  sent: boolean;
  /** Wait no longer. */
  cancel(): void;
  resolve(version: number): void;
  reject(error: Error): void;
}

/** Messages that may wait for their receipts. */
const LIMIT = 1000;
/** Messages per second, and at once: servers take 50 unless they are told otherwise, and end who sends many more. */
const RATE = 40;

/**
 * Messages without a receipt yet. They are sent again after a reconnect under the same id, of which the server takes
 * the first only; ephemeral ones are not, as they are worth nothing later. No more go at once than a server takes.
 */
export class Outbox {
  private readonly waiting = new Map<string, Waiting>();
  private rate = RATE;
  private left = RATE;
  private since = 0;
  private cancel: () => void = () => {};

  constructor(
    private readonly send: (message: ClientMessage) => boolean,
    private readonly clock: Clock,
    /** ms after which a message counts as lost. */
    private readonly timeout: number,
  ) {}

  push(request: SendRequest): Sent {
    const { id } = request;
    const done = new Promise<number>((resolve, reject) => {
      if (this.waiting.size >= LIMIT) {
        reject(new Refused("outbox_full", `${LIMIT} wait for receipts`));
        return;
      }
      const late = new Refused("receipt_timeout", `no receipt within ${this.timeout} ms`);
      const cancel = this.clock.after(this.timeout, () => this.fail(id, late));
      this.waiting.set(id, { request, sent: false, cancel, resolve, reject });
      this.pump();
      if (request.ephemeral && !this.waiting.get(id)?.sent)
        this.fail(id, new Refused("not_connected", "there is no connection"));
    });
    // Whoever does not care whether it arrived need not say so.
    done.catch(() => {});
    return { id, done };
  }

  /** The connection is open again. */
  opened(): void {
    this.rate = this.left = RATE;
    this.pump();
  }

  lost(): void {
    this.cancel();
    for (const [id, waiting] of this.waiting) {
      waiting.sent = false;
      if (waiting.request.ephemeral) this.fail(id, new Refused("not_connected", "there is no connection"));
    }
  }

  receipt(id: string, version: number): void {
    this.take(id)?.resolve(version);
  }

  /** False if the error is about no message of these. */
  error(message: ErrorMessage): boolean {
    const { id = "", code, path } = message;
    const waiting = this.waiting.get(id);
    if (!waiting) return false;
    if (isPassing(code) && !waiting.request.ephemeral) {
      waiting.sent = false;
      // Nothing for a second.
      this.rate = Math.max(1, this.rate / 2);
      this.left = -this.rate;
      this.pump();
    } else this.fail(id, new Refused(code, message.message, path));
    return true;
  }

  /** Send what has not been sent on this connection, as fast as that may be. */
  private pump(): void {
    this.cancel();
    const now = this.clock.now();
    this.left = Math.min(this.rate, this.left + ((now - this.since) / 1000) * this.rate);
    this.since = now;
    for (const waiting of this.waiting.values()) {
      if (waiting.sent) continue;
      if (this.left < 1) {
        this.cancel = this.clock.after(((1 - this.left) / this.rate) * 1000, () => this.pump());
        return;
      }
      waiting.sent = this.send({ type: "send", payload: waiting.request });
      if (!waiting.sent) return;
      this.left--;
    }
  }

  private fail(id: string, error: Error): void {
    this.take(id)?.reject(error);
  }

  private take(id: string): Waiting | undefined {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    found?.cancel();
    return found;
  }
}
