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

/** Fields without which a message of a type cannot be used, each behind the first letter of its type. */
const REQUIRED: Record<ServerMessage["type"], string> = {
  welcome: "s:protocol s:epoch n:server_time n:heartbeat_ms",
  authenticated: "s:subject",
  token_expiring: "s:expires_at",
  subscribed: "s:id n:view a:columns a:dictionary a:rows",
  series: "n:view",
  updates: "n:view a:rows n:push_ts",
  alert: "s:id s:series s:phase n:ts n:version",
  resync: "",
  joined: "s:room a:members n:version",
  left: "s:room",
  rooms: "a:rooms",
  message: "n:version s:id s:type",
  presence: "s:room s:event s:user s:session",
  receipt: "s:id n:version",
  stats: "a:subscriptions",
  app_ping: "",
  app_pong: "",
  draining: "",
  error: "s:code s:message",
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
  for (const required of REQUIRED[type as ServerMessage["type"]].split(" ").filter(Boolean)) {
    const field = required.slice(2);
    const got = Array.isArray(payload[field]) ? "array" : typeof payload[field];
    if (got[0] !== required[0]) throw new ProtocolError(`${type}.${field}: ${got}`);
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
