import type { Clock } from "./clock.ts";
import { Refused } from "./http.ts";
import type { ClientMessage, ErrorMessage, SendRequest } from "./protocol.ts";

/** A message on its way. */
export interface Sent {
  readonly id: string;
  /** Resolves with the message's version once the server has stored it. Rejects with Refused, and then it was not. */
  readonly done: Promise<number>;
}

interface Waiting {
  readonly request: SendRequest;
  resolve(version: number): void;
  reject(error: Error): void;
}

/** Messages that may wait for their receipts. */
const LIMIT = 1000;

/**
 * Messages without a receipt yet. They are sent again after a reconnect under the same id, of which the server takes
 * the first only; ephemeral ones are not, as they are worth nothing later.
 */
export class Outbox {
  private readonly waiting = new Map<string, Waiting>();

  constructor(
    private readonly send: (message: ClientMessage) => boolean,
    private readonly clock: Clock,
    /** ms after which a message counts as lost. */
    private readonly timeout: number,
  ) {}

  get size(): number {
    return this.waiting.size;
  }

  push(request: SendRequest): Sent {
    const { id } = request;
    const done = new Promise<number>((resolve, reject) => {
      if (this.waiting.size >= LIMIT) {
        reject(new Refused("outbox_full", `${LIMIT} messages wait for their receipts`));
        return;
      }
      const late = new Refused("receipt_timeout", `no receipt within ${this.timeout} ms`);
      const cancel = this.clock.after(this.timeout, () => this.fail(id, late));
      this.waiting.set(id, {
        request,
        resolve(version) {
          cancel();
          resolve(version);
        },
        reject(error) {
          cancel();
          reject(error);
        },
      });
      const sent = this.send({ type: "send", payload: request });
      if (!sent && request.ephemeral) this.fail(id, new Refused("not_connected", "there is no connection"));
    });
    // Whoever does not care whether it arrived need not say so.
    done.catch(() => {});
    return { id, done };
  }

  /** The connection is open again. */
  opened(): void {
    for (const { request } of this.waiting.values()) this.send({ type: "send", payload: request });
  }

  lost(): void {
    for (const [id, { request }] of this.waiting) {
      if (request.ephemeral) this.fail(id, new Refused("not_connected", "the connection was lost"));
    }
  }

  receipt(id: string, version: number): void {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    found?.resolve(version);
  }

  /** False if the error is about no message of these. */
  error(message: ErrorMessage): boolean {
    if (message.id === undefined || !this.waiting.has(message.id)) return false;
    this.fail(message.id, new Refused(message.code, message.message, message.path));
    return true;
  }

  private fail(id: string, error: Error): void {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    found?.reject(error);
  }
}
