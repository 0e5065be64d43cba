import type { Clock } from "./clock.ts";
import { Emitter } from "./emitter.ts";
import { Refused } from "./http.ts";
import type { Sent } from "./outbox.ts";
import type { ClientMessage, ErrorMessage, Joined, Member, Message, Presence, Target } from "./protocol.ts";
import { Waiters } from "./waiters.ts";

export interface SendOptions {
  /** Do not deliver it to this connection. */
  readonly excludeSelf?: boolean;
  /** Neither kept nor told again: typing, pointers. */
  readonly ephemeral?: boolean;
  /** How long it may wait for who is absent, ms. */
  readonly ttlMs?: number;
}

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
  /** More messages were missed while there was no connection than the server was asked for. */
  missed: { readonly after: number };
  error: ErrorMessage;
}

/** What a room needs of its client. */
export interface RoomLink {
  readonly clock: Clock;
  readonly session: () => string;
  send(message: ClientMessage): boolean;
  post(target: Target, type: string, payload: unknown, options: SendOptions): Sent;
}

/** Messages that a room keeps to show, and asks for when it joins, unless told otherwise. */
const KEPT = 200;
const LAST = 50;

/** A room: joined again after each reconnect, with the messages that were missed. */
export class Room extends Emitter<RoomEvents> {
  /** By session. */
  readonly members = new Map<string, Member>();

  private current: RoomState = "idle";
  private wanted = false;
  private last = LAST;
  private newest = -1;
  private messages: Message[] = [];
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

  /** Join and stay joined. Resolves when the server has answered; rejects with Refused. last: how many messages to get. */
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
    this.link.send({ type: "leave", payload: { room: this.name } });
    this.away(new Refused("left", "the room was left"));
  }

  /** Send to all in the room. It is in timeline at once, as pending, and goes again if the server refuses it. */
  send(type: string, payload: unknown, options: SendOptions = {}): Sent {
    const sent = this.link.post({ room: this.name }, type, payload, options);
    if (options.ephemeral) return sent;
    const from = { user: "", session: this.link.session() };
    const time = Date.now() * 1000;
    const shown: Message = {
      room: this.name,
      version: Number.POSITIVE_INFINITY,
      id: sent.id,
      type,
      payload,
      from,
      time,
    };
    this.pending.set(sent.id, shown);
    this.emit("changed", undefined);
    sent.done.then(
      (version) => this.confirm(sent.id, { ...shown, version }),
      () => this.settle(sent.id),
    );
    return sent;
  }

  /** Moderators only. A ban without forMs has no end. */
  kick(user: string, reason?: string): void {
    this.link.send({ type: "kick", payload: { room: this.name, user, reason } });
  }

  ban(user: string, options: { readonly forMs?: number; readonly reason?: string } = {}): void {
    const { forMs: for_ms, reason } = options;
    this.link.send({ type: "ban", payload: { room: this.name, user, for_ms, reason } });
  }

  /** The newest messages in the order of the room, and then one's own that are not confirmed. */
  timeline(): ShownMessage[] {
    const shown = this.messages.map((m) => ({ ...m, pending: false }));
    return [...shown, ...[...this.pending.values()].map((m) => ({ ...m, pending: true }))];
  }

  /** Resolves when the room's messages up to the version have come: a receipt's, to read what one wrote. */
  waitFor(version: number, ms: number): Promise<number> {
    return this.newest >= version ? Promise.resolve(this.newest) : this.waiters.wait(this.name, version, ms);
  }

  opened(): void {
    if (this.wanted) this.ask();
  }

  lost(): void {
    if (this.current === "joined") this.enter("joining");
  }

  /** Versions of before mean nothing any more. */
  reset(): void {
    this.newest = -1;
    this.messages = [];
  }

  joined(message: Joined): void {
    this.members.clear();
    for (const member of message.members) this.members.set(member.session, member);
    const messages = message.messages ?? [];
    const oldest = messages[0]?.version ?? -1;
    if (this.newest >= 0 && messages.length >= this.last && oldest > this.newest)
      this.emit("missed", { after: this.newest });
    for (const m of messages) this.message(m);
    this.enter("joined");
    for (const { resolve } of this.joins.splice(0)) resolve(message);
    this.emit("changed", undefined);
  }

  /** The server says that the room was left. */
  left(): void {
    if (!this.wanted) this.away(new Refused("left", "the room was left"));
  }

  /** Take a message; one that is not newer than those before is known already. */
  message(message: Message): void {
    if (message.version <= this.newest) return;
    this.newest = message.version;
    this.pending.delete(message.id);
    if (!message.ephemeral) this.keep(message);
    this.emit("message", message);
    this.emit("changed", undefined);
    this.waiters.saw(this.name, message.version);
  }

  presence(event: Presence): void {
    const { user, session, time } = event;
    switch (event.event) {
      case "joined":
      case "active":
        this.members.set(session, { user, session, state: "active", since: time });
        break;
      case "away":
        this.members.set(session, { user, session, state: "away", since: time });
        break;
      case "left":
      case "kicked":
        this.members.delete(session);
        if (session === this.link.session() && event.event === "kicked") this.kicked();
        break;
    }
    this.emit("presence", event);
    this.emit("changed", undefined);
  }

  error(message: ErrorMessage): void {
    this.emit("error", message);
    if (this.current !== "joining") return;
    this.wanted = false;
    this.away(new Refused(message.code, message.message, message.path));
    this.enter("refused");
  }

  private ask(): void {
    this.enter("joining");
    this.link.send({ type: "join", payload: { room: this.name, last: this.last } });
  }

  private kicked(): void {
    this.wanted = false;
    this.away(new Refused("kicked", "a moderator removed this session from the room"));
  }

  private away(error: Error): void {
    this.members.clear();
    this.enter("idle");
    for (const { reject } of this.joins.splice(0)) reject(error);
  }

  /** The receipt came: the message itself may not, if it was not to come back here. */
  private confirm(id: string, message: Message): void {
    if (!this.pending.has(id)) return;
    this.pending.delete(id);
    this.keep(message);
    this.emit("changed", undefined);
  }

  private settle(id: string): void {
    if (this.pending.delete(id)) this.emit("changed", undefined);
  }

  private keep(message: Message): void {
    if (this.messages.some((m) => m.version === message.version)) return;
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

/** Messages to a user, a session or all: known ones are left out by version, as in rooms. */
export class Inbox {
  private readonly newest = new Map<string, number>();

  /** False if the message has been told already. */
  take(message: Message): boolean {
    const key = message.user !== undefined ? `u${message.user}` : message.session !== undefined ? "s" : "b";
    if (message.version <= (this.newest.get(key) ?? -1)) return false;
    this.newest.set(key, message.version);
    return true;
  }

  reset(): void {
    this.newest.clear();
  }
}
