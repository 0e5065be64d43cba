/** Messages of the live protocol, `weir.v1.json`: `{"type": …, "payload": …}`. Times are in µs. */

export const SUBPROTOCOL = "weir.v1.json";

/** Columns of a row, in the order in which Weir sends them today. The server's own list is authoritative. */
export const COLUMNS = [
  "i",
  "version",
  "since",
  "n",
  "late",
  "invalid",
  "first_ts",
  "last_ts",
  "last",
  "min",
  "max",
  "sum",
  "avg",
  "lo",
  "hi",
  "state",
  "score",
  "worst",
  "ingest_ts",
  "emit_ts",
] as const;

export type Column = (typeof COLUMNS)[number];
export type Row = readonly (number | null)[];

export interface DictionaryEntry {
  readonly i: number;
  readonly series: string;
}

export type Phase = "firing" | "acknowledged" | "flapping" | "resolved";
export type Severity = "info" | "warning" | "critical";

/** What a person left on an alert. */
export interface Note {
  readonly by: string;
  readonly time: number;
  readonly text?: string;
}

/** One transition of an alert. A number is null where there is none; what earlier servers do not send is optional. */
export interface AlertMessage {
  readonly id: string;
  readonly rule: string;
  readonly series: string;
  readonly phase: Phase;
  readonly reason?: string;
  readonly severity?: Severity;
  readonly version: number;
  readonly raised: number;
  readonly started_ts: number;
  readonly ts: number;
  readonly value: number | null;
  readonly score: number | null;
  readonly lo: number | null;
  readonly hi: number | null;
  readonly limit?: number | null;
  readonly detector: string;
  readonly summary: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly samples?: readonly { readonly ts: number; readonly value: number | null }[];
  readonly quality?: {
    readonly n: number;
    readonly late: number;
    readonly invalid: number;
    readonly gap_us: number;
  };
  readonly flaps?: { readonly count: number; readonly period_us: number };
  readonly acknowledged?: Note;
  readonly assignee?: string;
  readonly comments?: readonly Note[];
  readonly silences?: readonly string[];
  readonly inhibited_by?: string;
  readonly link?: string;
}

export interface Welcome {
  readonly protocol: string;
  readonly epoch: string;
  readonly session: string;
  readonly server_time: number;
  readonly heartbeat_ms: number;
  readonly insecure: boolean;
  /** Patterns of the series that may be subscribed to. */
  readonly read?: readonly string[];
}

export interface Authenticated {
  readonly subject: string;
  readonly roles: readonly string[];
  readonly read?: readonly string[];
  /** RFC 3339. */
  readonly expires_at?: string;
}

export interface Subscribed {
  readonly id: string;
  readonly view: number;
  readonly max_hz: number;
  readonly columns: readonly string[];
  readonly dictionary: readonly DictionaryEntry[];
  readonly rows: readonly Row[];
  readonly alerts: readonly AlertMessage[];
  readonly cursor?: string;
  readonly push_ts: number;
}

export interface SeriesAdded {
  readonly view: number;
  readonly added: readonly DictionaryEntry[];
}

export interface Updates {
  readonly view: number;
  readonly cursor?: string;
  readonly push_ts: number;
  readonly rows: readonly Row[];
}

export interface ErrorMessage {
  readonly code: string;
  readonly message: string;
  readonly path?: string;
  readonly id?: string;
}

export type ServerMessage =
  | { readonly type: "welcome"; readonly payload: Welcome }
  | { readonly type: "subscribed"; readonly payload: Subscribed }
  | { readonly type: "series"; readonly payload: SeriesAdded }
  | { readonly type: "updates"; readonly payload: Updates }
  | { readonly type: "alert"; readonly payload: AlertMessage }
  | { readonly type: "resync"; readonly payload: { readonly view: number; readonly reason: string } }
  | { readonly type: "app_pong"; readonly payload: { readonly t?: number } }
  | { readonly type: "draining"; readonly payload: Draining }
  | { readonly type: "authenticated"; readonly payload: Authenticated }
  | { readonly type: "token_expiring"; readonly payload: { readonly expires_at: string } }
  | { readonly type: "error"; readonly payload: ErrorMessage };

export interface Draining {
  readonly reconnect_after_ms: number;
  readonly jitter_ms: number;
}

export type ClientMessage =
  | { readonly type: "subscribe"; readonly payload: SubscribeRequest }
  | { readonly type: "unsubscribe"; readonly payload: { readonly id: string } }
  | { readonly type: "app_ping"; readonly payload: { readonly t: number } };

export interface SubscribeRequest {
  readonly id: string;
  readonly patterns: readonly string[];
  readonly max_hz?: number;
}

type Payload = Record<string, unknown>;
type FieldType = "number" | "string" | "boolean" | "array";

/** Fields without which a message of a type cannot be used. */
const REQUIRED: Record<ServerMessage["type"], Record<string, FieldType>> = {
  welcome: { protocol: "string", epoch: "string", server_time: "number", heartbeat_ms: "number" },
  subscribed: { id: "string", view: "number", columns: "array", dictionary: "array", rows: "array" },
  series: { view: "number", added: "array" },
  updates: { view: "number", rows: "array", push_ts: "number" },
  alert: { id: "string", series: "string", phase: "string", ts: "number" },
  resync: { view: "number" },
  app_pong: {},
  draining: {},
  authenticated: { subject: "string" },
  token_expiring: { expires_at: "string" },
  error: { code: "string", message: "string" },
};

/**
 * Parse one frame. Null for a message of a type this client does not know (a later server's), which it is
 * to ignore. Throws for a frame that is not of the protocol.
 */
export function parseServerMessage(text: string): ServerMessage | null {
  const message: unknown = JSON.parse(text);
  if (!isObject(message) || typeof message.type !== "string")
    throw new ProtocolError("a message has no type");
  const type = message.type;
  if (!Object.hasOwn(REQUIRED, type)) return null;
  const payload = message.payload ?? {};
  if (!isObject(payload)) throw new ProtocolError(`${type}: payload is not an object`);
  for (const [field, want] of Object.entries(REQUIRED[type as ServerMessage["type"]])) {
    const got = Array.isArray(payload[field]) ? "array" : typeof payload[field];
    if (got !== want) throw new ProtocolError(`${type}.${field}: ${got}, want ${want}`);
  }
  return message as unknown as ServerMessage;
}

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

function isObject(v: unknown): v is Payload {
  return typeof v === "object" && v !== null && !Array.isArray(v);
}
