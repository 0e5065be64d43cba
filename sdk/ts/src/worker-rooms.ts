import type { Clock } from "./clock.ts";
import { Outbox } from "./outbox.ts";
import type { ClientMessage, ErrorMessage, Welcome } from "./protocol.ts";
import { Room } from "./room.ts";
import type { RoomMessage, RoomRequest } from "./worker-protocol.ts";

/**
 * Rooms of a page whose connection a worker holds. They are whole here: the worker only carries what they ask and what
 * the server tells them, so that a way more than a network's is nothing new to them.
 */
export class PageRooms {
  private readonly rooms = new Map<string, Room>();
  readonly outbox: Outbox;
  private epoch = "";
  private session = "";
  private isOpen = false;

  constructor(
    private readonly carry: (request: RoomRequest) => void,
    private readonly clock: Clock,
    receiptTimeout: number,
  ) {
    this.outbox = new Outbox((message) => this.say(message), clock, receiptTimeout);
  }

  room(name: string): Room {
    let room = this.rooms.get(name);
    if (!room) {
      room = new Room(name, {
        clock: this.clock,
        session: () => this.session,
        send: (message) => this.say(message),
        outbox: this.outbox,
      });
      this.rooms.set(name, room);
    }
    return room;
  }

  opened({ epoch, session }: Welcome): void {
    if (this.epoch !== "" && this.epoch !== epoch) for (const room of this.rooms.values()) room.reset();
    this.epoch = epoch;
    this.session = session;
    this.isOpen = true;
    for (const room of this.rooms.values()) room.opened();
    this.outbox.opened();
  }

  lost(): void {
    this.isOpen = false;
    for (const room of this.rooms.values()) room.lost();
    this.outbox.lost();
  }

  take(message: RoomMessage): void {
    switch (message.type) {
      case "joined":
        this.rooms.get(message.payload.room)?.joined(message.payload);
        break;
      case "left":
        this.rooms.get(message.payload.room)?.left();
        break;
      case "presence":
        this.rooms.get(message.payload.room)?.presence(message.payload);
        break;
      case "message":
        this.rooms.get(message.payload.room ?? "")?.message(message.payload);
        break;
      case "receipt":
        this.outbox.receipt(message.payload.id, message.payload.version);
        break;
    }
  }

  /** False if the error is about no room or message of these. */
  error(error: ErrorMessage): boolean {
    if (this.outbox.error(error)) return true;
    const room = error.id === undefined ? this.rooms.get(error.room ?? "") : undefined;
    room?.error(error);
    return room !== undefined;
  }

  private say(message: ClientMessage): boolean {
    if (this.isOpen) this.carry(message as RoomRequest);
    return this.isOpen;
  }
}
