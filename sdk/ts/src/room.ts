import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import { isPassing, Refused } from "./http.ts";
import type { Outbox, SendOptions, Sent } from "./outbox.ts";
import type {
  ClientMessage,
  ErrorMessage,
  Joined,
  JoinRequest,
  Member,
  Message,
  Presence,
} from "./protocol.ts";
import { Waiters } from "./waiters.ts";

/** A message as a room shows it: confirmed, or one's own that the server has not confirmed yet. */
export interface ShownMessage extends Message {
  readonly pending: boolean;
}

export type RoomState = "idle" | "joining" | "joined" | "refused";

export interface RoomEvents {
  state: RoomState;
  /** Each once, in the order of the room. */
  message: Message;
  presence: Presence;
  /** What timeline or members give has changed. */
  changed: undefined;
  /** Messages that came after that version may be missing: more than the server keeps, or tells at once. */
  missed: { readonly after: number };
  error: ErrorMessage;
}

/** What a room needs of its client. */
export interface RoomLink {
  readonly clock: Clock;
  readonly session: () => string;
  send(message: ClientMessage): boolean;
  readonly outbox: Outbox;
}

/** Messages that a room keeps to show, and asks for when it joins, unless told otherwise. */
const KEPT = 200;
const LAST = 50;
/** How long, ms, before a room is joined again that could not be for the moment. */
const AGAIN = 5_000;

/** A room: joined again after each reconnect, with the messages that were missed. */
export class Room extends Emitter<RoomEvents> {
  /** By session. */
  readonly members = new Map<string, Member>();

  private current: RoomState = "idle";
  private wanted = false;
  private last = LAST;
  private newest = -1;
  private messages: Message[] = [];
  /** Those of messages that are not to be told here. */
  private quiet = new WeakSet<Message>();
  /** Leaves that the server has not answered. */
  private leaving = 0;
  private cancelJoin: () => void = () => {};
  private readonly pending = new Map<string, Message>();
  private readonly waiters: Waiters;
  private joins: { resolve(joined: Joined): void; reject(error: Error): void }[] = [];

  constructor(
    readonly name: string,
    private readonly link: RoomLink,
  ) {
    super();
    this.waiters = new Waiters(link.clock);
  }

  get state(): RoomState {
    return this.current;
  }

  /** Whether it is to be joined whenever there is a connection. */
  get isWanted(): boolean {
    return this.wanted;
  }

  /** Version of the newest message known; -1 before the first. */
  get version(): number {
    return this.newest;
  }

  /**
   * Join and stay joined. Resolves when the server has answered; rejects with Refused. last: how many messages to get the
   * first time; later all that were missed come.
   */
  join(last = LAST): Promise<Joined> {
    this.wanted = true;
    this.last = last;
    const joined = new Promise<Joined>((resolve, reject) => this.joins.push({ resolve, reject }));
    joined.catch(() => {});
    this.ask();
    return joined;
  }

  leave(): void {
    this.wanted = false;
    if (this.link.send({ type: "leave", payload: { room: this.name } })) this.leaving++;
    this.away(new Refused("left", "the room was left"));
  }

  /** Send to all in the room. It is in timeline at once, as pending, and goes from there if the server refuses it. */
  send(type: string, payload: unknown, options: SendOptions = {}): Sent {
    const sent = this.link.outbox.send({ room: this.name }, type, payload, options);
    if (options.ephemeral) return sent;
    const from = { user: "", session: this.link.session() };
    const time = Date.now() * 1000;
    const shown: Message & { version: number } = {
      room: this.name,
      version: Number.POSITIVE_INFINITY,
      id: sent.id,
      type,
      payload,
      from,
      time,
    };
    if (options.excludeSelf) this.quiet.add(shown);
    this.pending.set(sent.id, shown);
    this.emit("changed", undefined);
    sent.done.then(
      (version) => {
        shown.version = version;
        this.settle(shown, true);
      },
      () => this.settle(shown, false),
    );
    return sent;
  }

  /**
   * Moderators only. Waits for a WebSocket if there is none. Its receipt comes behind the presence that the room is told;
   * who reads the room at that version over HTTP finds the user gone. It is no message's, for waitFor.
   */
  kick(user: string, reason?: string): Sent {
    return this.link.outbox.post("kick", { room: this.name, user, reason });
  }

  /** As kick, and keeps the user out for a time: a day, which is also the longest. */
  ban(user: string, options: { readonly forMs?: number; readonly reason?: string } = {}): Sent {
    const { forMs: for_ms, reason } = options;
    return this.link.outbox.post("ban", { room: this.name, user, for_ms, reason });
  }

  /** The newest messages in the order of the room, and then one's own that are not confirmed. */
  timeline(): ShownMessage[] {
    const shown = this.messages.map((m) => ({ ...m, pending: false }));
    return [...shown, ...[...this.pending.values()].map((m) => ({ ...m, pending: true }))];
  }

  /** Resolves when the room's messages up to the version have come: a receipt's, to read what one wrote. */
  waitFor(version: number, ms: number): Promise<number> {
    const here = this.newest >= version || this.find(version) !== undefined;
    return here ? Promise.resolve(version) : this.waiters.wait(this.name, version, ms);
  }

  /** What joins it: all that came after the newest message known, or the first time the last ones. */
  request(): JoinRequest {
    const { name: room, newest: after, last } = this;
    return after < 0 ? { room, last } : { room, after };
  }

  opened(): void {
    if (this.wanted) this.ask();
  }

  lost(): void {
    this.cancelJoin();
    this.leaving = 0;
    if (this.current === "joined") this.enter("joining");
  }

  /** Versions of before mean nothing any more. */
  reset(): void {
    if (this.newest >= 0) this.emit("missed", { after: this.newest });
    this.newest = -1;
    this.messages = [];
  }

  joined(message: Joined): void {
    // With a leave behind it, it answers what was asked before that.
    if (!this.wanted || this.leaving > 0) return;
    this.members.clear();
    for (const member of message.members) this.members.set(member.session, member);
    if (message.gap) this.emit("missed", { after: this.newest });
    for (const m of message.messages ?? []) this.message(m);
    // What is not told up to there is not wanted.
    this.newest = Math.max(this.newest, message.version);
    this.waiters.saw(this.name, this.newest);
    this.enter("joined");
    for (const { resolve } of this.joins.splice(0)) resolve(message);
    this.emit("changed", undefined);
  }

  /** The server says that the room was left: as it was asked to, or because of rights that have changed. */
  left(): void {
    if (this.leaving > 0) this.leaving--;
    else if (this.current === "joined") this.refuse(new Refused("forbidden", "the rights have changed"));
  }

  /** Take a message; one that is not newer than those before is known already. */
  message(message: Message): void {
    if (!this.wanted || message.version <= this.newest) return;
    this.newest = message.version;
    const own = this.pending.get(message.id) ?? this.find(message.version);
    this.pending.delete(message.id);
    if (!message.ephemeral) this.keep(message);
    if (!own || !this.quiet.has(own)) this.emit("message", message);
    this.emit("changed", undefined);
    this.waiters.saw(this.name, message.version);
  }

  presence(event: Presence): void {
    const { event: kind, user, session, time } = event;
    const known = this.members.get(session);
    if (kind === "joined") this.members.set(session, { user, session, state: "active", since: time });
    else if (kind === "active" || kind === "away") {
      if (known) this.members.set(session, { ...known, state: kind });
    } else this.members.delete(session);
    if (kind === "kicked" && session === this.link.session()) {
      this.wanted = false;
      this.away(new Refused("kicked", "by a moderator"));
    }
    this.emit("presence", event);
    this.emit("changed", undefined);
  }

  /** What is refused of this room, but what is posted: that has ids. */
  error(message: ErrorMessage): void {
    const { code, message: text, path } = message;
    const asked = this.current === "joining" && this.leaving === 0;
    if (this.leaving > 0) this.leaving--;
    const passing = asked && isPassing(code);
    if (!passing) this.emit("error", message);
    if (!asked) return;
    // Who was in the room waits for its place.
    if (passing || (this.newest >= 0 && /^rooms?_/.test(code)))
      this.cancelJoin = this.link.clock.after(AGAIN, () => this.ask());
    else this.refuse(new Refused(code, text, path));
  }

  private ask(): void {
    this.cancelJoin();
    this.enter("joining");
    this.link.send({ type: "join", payload: this.request() });
  }

  private refuse(error: Error): void {
    this.wanted = false;
    this.away(error);
    this.enter("refused");
  }

  private away(error: Error): void {
    this.cancelJoin();
    this.members.clear();
    this.enter("idle");
    for (const { reject } of this.joins.splice(0)) reject(error);
  }

  /** A message has its receipt, or never will: it may not come back here, or may have come already. */
  private settle(message: Message, stored: boolean): void {
    if (!this.pending.delete(message.id)) return;
    if (stored) this.keep(message);
    this.emit("changed", undefined);
  }

  private find(version: number): Message | undefined {
    return this.messages.find((m) => m.version === version);
  }

  private keep(message: Message): void {
    if (this.find(message.version)) return;
    const later = this.messages.findIndex((m) => m.version > message.version);
    if (later < 0) this.messages.push(message);
    else this.messages.splice(later, 0, message);
    if (this.messages.length > KEPT) this.messages.shift();
  }

  private enter(state: RoomState): void {
    if (state === this.current) return;
    this.current = state;
    this.emit("state", state);
  }
}
