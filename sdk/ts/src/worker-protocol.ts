import type { LinkState } from "./machine.ts";
import type {
  AlertMessage,
  ClientMessage,
  DictionaryEntry,
  ErrorMessage,
  Message,
  ServerMessage,
  Target,
  Welcome,
} from "./protocol.ts";
import type { SubscribeOptions, SubscriptionState } from "./subscription.ts";
import type { TokenReason } from "./tokens.ts";
import { emptyUpdate, type Update } from "./update.ts";

/** Messages between a page and the worker that holds its connection. n numbers subscriptions, and questions for tokens. */

export interface WorkerOptions {
  readonly url: string;
  readonly transports?: readonly ("websocket" | "sse")[];
  readonly maxRetries?: number;
  readonly maxHeartbeat?: number;
  readonly credits?: number | false;
}

/** What rooms of the page ask the server, and what it tells them. */
export type RoomRequest = Extract<ClientMessage, { type: "join" | "leave" | "send" | "kick" | "ban" }>;
export type RoomMessage = Extract<
  ServerMessage,
  { type: "joined" | "left" | "presence" | "receipt" | "message" }
>;

export type ToWorker =
  | { readonly op: "connect"; readonly options: WorkerOptions; readonly tokens: boolean }
  | { readonly op: "close" }
  | {
      readonly op: "token";
      readonly n: number;
      readonly token: string | null;
      readonly problem?: string | undefined;
    }
  | { readonly op: "subscribe" | "change"; readonly n: number; readonly options: SubscribeOptions }
  | { readonly op: "unsubscribe"; readonly n: number }
  | { readonly op: "room"; readonly request: RoomRequest }
  /** It is read, and all to the user before it. */
  | { readonly op: "acknowledge"; readonly message: Target & { readonly version: number } }
  /** The batch has been shown. */
  | { readonly op: "painted" }
  | { readonly op: "visible"; readonly visible: boolean };

export type FromWorker =
  | { readonly op: "state"; readonly state: LinkState }
  | { readonly op: "welcome"; readonly welcome: Welcome }
  | { readonly op: "want token"; readonly n: number; readonly reason: TokenReason }
  | { readonly op: "alert"; readonly alert: AlertMessage }
  | { readonly op: "problem"; readonly error: ErrorMessage }
  | { readonly op: "room"; readonly message: RoomMessage }
  /** To this user, this session or all. */
  | { readonly op: "message"; readonly message: Message }
  | { readonly op: "subscription"; readonly n: number; readonly state: SubscriptionState }
  | { readonly op: "resync"; readonly n: number; readonly reason: string }
  | { readonly op: "batch"; readonly batches: readonly Batch[] };

/** What has happened in a subscription since the batch before. k numbers its series. */
export interface Batch {
  readonly n: number;
  readonly reset: boolean;
  readonly entries: readonly { readonly k: number; readonly entry: DictionaryEntry }[];
  /** WIDTH cells a row: k, and then the update's by CELLS. */
  readonly rows: Float64Array<ArrayBuffer>;
  readonly entered: readonly number[];
  readonly left: readonly number[];
  readonly removed: readonly number[];
}

/** Order of a row's cells after k. */
export const CELLS = Object.keys(emptyUpdate()) as readonly (keyof Update)[];
export const WIDTH = CELLS.length + 1;

/** A worker, or a MessagePort to one. */
export interface Port<In, Out> {
  postMessage(message: Out, transfer: Transferable[]): void;
  onmessage: ((event: MessageEvent<In>) => void) | null;
}
