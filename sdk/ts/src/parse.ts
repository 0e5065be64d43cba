import { type ServerMessage, SUBPROTOCOL } from "./protocol.ts";

/** Frames of one subprotocol, read. */
export interface Codec {
  readonly subprotocol: string;
  /** Null for a message of a type that is not known (a later server's). Throws ProtocolError or SyntaxError. */
  decode(data: string | ArrayBuffer): ServerMessage | null;
}

/** The server's frame is not of the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

type Payload = Record<string, unknown>;

/** Fields without which a message of a type cannot be used: s a string, n a number, a an array. */
const REQUIRED: Record<ServerMessage["type"], Record<string, "s" | "n" | "a">> = {
  welcome: { protocol: "s", epoch: "s", server_time: "n", heartbeat_ms: "n" },
  authenticated: { subject: "s" },
  token_expiring: { expires_at: "s" },
  subscribed: { id: "s", view: "n", columns: "a", dictionary: "a", rows: "a" },
  series: { view: "n" },
  updates: { view: "n", rows: "a", push_ts: "n" },
  alert: { id: "s", series: "s", phase: "s", ts: "n", version: "n" },
  resync: {},
  joined: { room: "s", members: "a", version: "n" },
  left: { room: "s" },
  rooms: { rooms: "a" },
  message: { version: "n", id: "s", type: "s" },
  presence: { room: "s", event: "s", user: "s", session: "s" },
  receipt: { id: "s", version: "n" },
  stats: { subscriptions: "a" },
  app_ping: {},
  app_pong: {},
  draining: {},
  error: { code: "s", message: "s" },
};

/** Parse one frame of `weir.v1.json`; see Codec. */
export function parseServerMessage(text: string): ServerMessage | null {
  return checked(JSON.parse(text));
}

/** The message, if it is one that can be used; see Codec. */
export function checked(message: unknown): ServerMessage | null {
  if (!isObject(message) || typeof message.type !== "string")
    throw new ProtocolError("a message has no type");
  const type = message.type;
  if (!Object.hasOwn(REQUIRED, type)) return null;
  const payload = message.payload ?? {};
  if (!isObject(payload)) throw new ProtocolError(`${type}: payload is not an object`);
  for (const [field, want] of Object.entries(REQUIRED[type as ServerMessage["type"]])) {
    const got = Array.isArray(payload[field]) ? "array" : typeof payload[field];
    if (got[0] !== want) throw new ProtocolError(`${type}.${field}: ${got}`);
  }
  return { type, payload } as unknown as ServerMessage;
}

export const jsonCodec: Codec = {
  subprotocol: SUBPROTOCOL,
  decode(data) {
    if (typeof data !== "string") throw new ProtocolError("a binary frame");
    return parseServerMessage(data);
  },
};

function isObject(v: unknown): v is Payload {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}
