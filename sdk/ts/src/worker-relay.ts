import { LiveClient, type LiveOptions } from "./client.ts";
import { isPassing } from "./http.ts";
import type { ErrorMessage, JoinRequest, ServerMessage } from "./protocol.ts";
import type { RoomMessage, RoomRequest } from "./worker-protocol.ts";

/**
 * A client whose rooms are in the page: it carries what they ask, and tells them what the server says. It knows which
 * are to be joined only because server-sent events have to be asked for them as they are opened.
 */
export class RelayClient extends LiveClient {
  private readonly wanted = new Map<string, JoinRequest>();

  constructor(
    options: LiveOptions,
    private readonly tell: (message: RoomMessage) => void,
  ) {
    super(options);
    this.on("problem", (error) => this.refused(error));
  }

  /** What the page asks of a room. The page asks again by itself what cannot be carried now, but what is worth nothing later. */
  carry(request: RoomRequest): ErrorMessage | null {
    if (request.type === "join") this.wanted.set(request.payload.room, request.payload);
    else if (request.type === "leave") this.wanted.delete(request.payload.room);
    if (this.connection.send(request)) return null;
    if (request.type !== "send" || !request.payload.ephemeral) return null;
    const { id } = request.payload;
    return { code: "not_connected", message: "there is no connection that carries it", id };
  }

  protected override receiveRoom(message: ServerMessage): void {
    switch (message.type) {
      case "message":
        if (message.payload.room === undefined) {
          super.receiveRoom(message);
          return;
        }
        this.reached(message.payload.room, message.payload.version);
        break;
      case "joined":
        this.reached(message.payload.room, message.payload.version);
        break;
      case "presence": {
        const { event, room, session } = message.payload;
        if (event === "kicked" && session === this.session) this.wanted.delete(room);
        break;
      }
      case "left":
      case "receipt":
        break;
      default:
        return;
    }
    this.tell(message);
  }

  protected override intents() {
    return { ...super.intents(), rooms: [...this.wanted.values()] };
  }

  /** From here on the room is joined when it is joined again. */
  private reached(room: string, version: number): void {
    const { after = -1 } = this.wanted.get(room) ?? {};
    if (this.wanted.has(room)) this.wanted.set(room, { room, after: Math.max(after, version) });
  }

  private refused({ id, room, code }: ErrorMessage): void {
    if (id === undefined && room !== undefined && !isPassing(code)) this.wanted.delete(room);
  }
}
