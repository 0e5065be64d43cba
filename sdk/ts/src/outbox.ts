import type { Clock } from "./clock.ts";
import { isPassing, Refused } from "./http.ts";
import { uniqueId } from "./id.ts";
import type { ClientMessage, ErrorMessage, Moderation, SendRequest, Target } from "./protocol.ts";

export interface SendOptions {
  /** Do not deliver it to this connection. */
  readonly excludeSelf?: boolean;
  /** Neither kept nor told again: typing, pointers. */
  readonly ephemeral?: boolean;
  /** How long it may wait for who is absent, ms. */
  readonly ttlMs?: number;
}

/** A message, a kick or a ban on its way. */
export interface Sent {
  readonly id: string;
  /** Resolves with its version once the server has stored it. Rejects with Refused, and then it was not. */
  readonly done: Promise<number>;
}

/** What the server answers with a receipt. */
type Posted = Extract<ClientMessage, { type: "send" | "kick" | "ban" }>;

interface Waiting {
  readonly message: Posted;
  readonly ephemeral: boolean | undefined;
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
 * Messages, kicks and bans without a receipt yet. They are sent again after a reconnect under the same id, of which the
 * server takes the first only; ephemeral ones are not, as they are worth nothing later. No more go at once than a server
 * takes.
 */
export class Outbox {
  private readonly waiting = new Map<string, Waiting>();
  private readonly prefix = uniqueId().slice(0, 12);
  private serial = 0;
  private rate = RATE;
  private left = RATE;
  private since = 0;
  private cancel: () => void = () => {};

  constructor(
    private readonly carry: (message: ClientMessage) => boolean,
    private readonly clock: Clock,
    /** ms after which a message counts as lost. */
    private readonly timeout: number,
  ) {}

  send(target: Target, type: string, payload: unknown, options: SendOptions = {}): Sent {
    const { excludeSelf: exclude_self, ephemeral, ttlMs: ttl_ms } = options;
    return this.post("send", { ...target, type, payload, exclude_self, ephemeral, ttl_ms }, ephemeral);
  }

  post(type: "send", request: Omit<SendRequest, "id">, ephemeral?: boolean): Sent;
  post(type: "kick" | "ban", request: Omit<Moderation, "id">): Sent;
  post(type: Posted["type"], request: object, ephemeral?: boolean): Sent {
    const id = `${this.prefix}-${++this.serial}`;
    const done = new Promise<number>((resolve, reject) => {
      if (this.waiting.size >= LIMIT) {
        reject(new Refused("outbox_full", `${LIMIT} wait for receipts`));
        return;
      }
      // As JSON has it, as of now. What it cannot say is refused here: it would be in the way of all behind it.
      const message = JSON.parse(JSON.stringify({ type, payload: { id, ...request } })) as Posted;
      const late = new Refused("receipt_timeout", `no receipt within ${this.timeout} ms`);
      const cancel = this.clock.after(this.timeout, () => this.fail(id, late));
      this.waiting.set(id, { message, ephemeral, sent: false, cancel, resolve, reject });
      this.pump();
      if (ephemeral && !this.waiting.get(id)?.sent)
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
      if (waiting.ephemeral) this.fail(id, new Refused("not_connected", "there is no connection"));
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
    if (isPassing(code) && !waiting.ephemeral) {
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
      // Streams of events carry messages, but no kicks.
      waiting.sent = this.carry(waiting.message);
      if (waiting.sent) this.left--;
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
