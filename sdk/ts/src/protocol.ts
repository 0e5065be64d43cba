/** Messages of the live protocol, `weir.v1.json`: `{"type": …, "payload": …}`. Times are in µs. */

import type { ErrorCode } from "./codes.ts";
import type { Update } from "./update.ts";

export const SUBPROTOCOL = "weir.v1.json";

/** A column of rows; a later server may have others. */
export type Column = "i" | keyof Update | (string & {});
export type Row = readonly (number | null)[];

/** A series of a view. What is known of it beyond its name is optional. */
export interface DictionaryEntry {
  readonly i: number;
  readonly series: string;
  readonly unit?: string;
  readonly name?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** Names of values, for metrics that have states. */
  readonly labels?: Readonly<Record<string, string>> | readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly interval_ms?: number;
}

export type Phase = "firing" | "acknowledged" | "flapping" | "resolved";
export type Severity = "info" | "warning" | "critical";

/** What a person left on an alert. */
export interface Note {
  readonly by: string;
  readonly time: number;
  readonly text?: string | undefined;
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

/** Which series, and how. */
export interface SubscribeRequest {
  readonly id: string;
  readonly patterns: readonly string[];
  /** Frames per second; 0: unlimited; absent: the server's default. */
  readonly max_hz?: number | undefined;
  /** Columns wanted beside i, version, since and n; absent: all. */
  readonly fields?: readonly Column[] | undefined;
  /** Condition over a row. */
  readonly filter?: string | undefined;
  readonly order?: string | undefined;
  readonly limit?: number | undefined;
  /** At most this many rows per series and window_ms. */
  readonly points?: number | undefined;
  readonly window_ms?: number | undefined;
  readonly cursor?: string | undefined;
}

export interface Subscribed {
  readonly id: string;
  readonly view: number;
  readonly max_hz: number;
  readonly columns: readonly Column[];
  readonly dictionary: readonly DictionaryEntry[];
  readonly rows: readonly Row[];
  readonly alerts?: readonly AlertMessage[];
  /** The rows and alerts are what was missed since the cursor, and not the state. */
  readonly resumed?: boolean;
  /** The rows are the state; the alerts are the transitions that were missed, and then the other open ones. */
  readonly alerts_resumed?: boolean;
  readonly left?: readonly number[];
  readonly cursor?: string;
  readonly push_ts: number;
}

/** Removed comes before added: a series that is deleted and comes back has another index. */
export interface SeriesChanges {
  readonly view: number;
  readonly added?: readonly DictionaryEntry[];
  readonly changed?: readonly DictionaryEntry[];
  readonly removed?: readonly number[];
}

export interface Updates {
  readonly view: number;
  /** Only in frames that leave nothing pending. */
  readonly cursor?: string;
  readonly push_ts: number;
  readonly rows: readonly Row[];
  /** Series whose rows are not in the view any more. */
  readonly left?: readonly number[];
}

export interface Resync {
  readonly view?: number;
  readonly id?: string;
  readonly reason: string;
}

export interface ErrorMessage {
  readonly code: ErrorCode | (string & {});
  readonly message: string;
  readonly path?: string;
  readonly id?: string;
  readonly room?: string;
}

export interface Draining {
  readonly reconnect_after_ms: number;
  readonly jitter_ms: number;
}

export interface Member {
  readonly user: string;
  readonly session: string;
  readonly state: "active" | "away";
  /** µs */
  readonly since: number;
}

/** Whom a message is for: one of these. */
export interface Target {
  readonly room?: string | undefined;
  readonly user?: string | undefined;
  readonly session?: string | undefined;
  readonly broadcast?: true | undefined;
}

export interface Message extends Target {
  /** Grows in what the message is for. */
  readonly version: number;
  readonly id: string;
  readonly type: string;
  readonly payload: unknown;
  readonly from: { readonly user: string; readonly session: string };
  /** µs */
  readonly time: number;
  /** Neither kept nor told again. */
  readonly ephemeral?: boolean;
}

export interface Joined {
  readonly room: string;
  readonly members: readonly Member[];
  /** Oldest first. */
  readonly messages?: readonly Message[];
  readonly version: number;
  /** Before the messages some may be missing that came after `after`. */
  readonly gap?: boolean;
}

/** Which room, and how many of its newest messages; or all after a version, the newest that is known. */
export interface JoinRequest {
  readonly room: string;
  readonly last?: number;
  readonly after?: number;
}

export interface Presence {
  readonly room: string;
  readonly event: "joined" | "left" | "away" | "active" | "kicked";
  readonly user: string;
  readonly session: string;
  readonly time: number;
}

export interface RoomEntry {
  readonly room: string;
  readonly members: number;
  readonly version: number;
}

export interface SendRequest extends Target {
  readonly id: string;
  readonly type: string;
  readonly payload: unknown;
  readonly exclude_self?: boolean | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly ttl_ms?: number | undefined;
}

/** What the server counts of one subscription. */
export interface SubscriptionFigures {
  readonly id: string;
  readonly view: number;
  readonly frames: number;
  readonly rows: number;
  /** Readings that the rows delivered stand for. */
  readonly readings: number;
  /** Rows merged away because this client was late. */
  readonly merged: number;
  /** Rows kept back by filter or limit. */
  readonly held: number;
  /** Rows that wait now, and the age of the oldest, ms. */
  readonly depth: number;
  readonly lag_ms: number;
  readonly stalls: number;
}

export interface Stats {
  readonly rtt_ms?: number;
  readonly subscriptions: readonly SubscriptionFigures[];
}

export type ServerMessage =
  | { readonly type: "welcome"; readonly payload: Welcome }
  | { readonly type: "authenticated"; readonly payload: Authenticated }
  | { readonly type: "token_expiring"; readonly payload: { readonly expires_at: string } }
  | { readonly type: "subscribed"; readonly payload: Subscribed }
  | { readonly type: "series"; readonly payload: SeriesChanges }
  | { readonly type: "updates"; readonly payload: Updates }
  | { readonly type: "alert"; readonly payload: AlertMessage }
  | { readonly type: "resync"; readonly payload: Resync }
  | { readonly type: "joined"; readonly payload: Joined }
  | { readonly type: "left"; readonly payload: { readonly room: string } }
  | { readonly type: "rooms"; readonly payload: { readonly rooms: readonly RoomEntry[] } }
  | { readonly type: "message"; readonly payload: Message }
  | { readonly type: "presence"; readonly payload: Presence }
  | { readonly type: "receipt"; readonly payload: { readonly id: string; readonly version: number } }
  | { readonly type: "stats"; readonly payload: Stats }
  | { readonly type: "app_ping"; readonly payload: { readonly t?: number } }
  | { readonly type: "app_pong"; readonly payload: { readonly t?: number } }
  | { readonly type: "draining"; readonly payload: Draining }
  | { readonly type: "error"; readonly payload: ErrorMessage };

export type ClientMessage =
  | { readonly type: "auth"; readonly payload: { readonly token: string } }
  | { readonly type: "subscribe"; readonly payload: SubscribeRequest }
  | { readonly type: "unsubscribe"; readonly payload: { readonly id: string } }
  | { readonly type: "credit"; readonly payload: { readonly frames: number } }
  | { readonly type: "join"; readonly payload: JoinRequest }
  | { readonly type: "leave"; readonly payload: { readonly room: string } }
  | { readonly type: "rooms" | "stats"; readonly payload: Record<string, never> }
  | { readonly type: "send"; readonly payload: SendRequest }
  | { readonly type: "ack"; readonly payload: { readonly version: number } }
  | { readonly type: "kick" | "ban"; readonly payload: Moderation }
  | { readonly type: "app_ping" | "app_pong"; readonly payload: { readonly t?: number } };

export interface Moderation {
  readonly id: string;
  readonly room: string;
  readonly user: string;
  readonly for_ms?: number | undefined;
  readonly reason?: string | undefined;
}
