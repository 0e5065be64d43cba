export { type AlertEvents, Alerts } from "./alerts.ts";
export type { BackoffOptions } from "./backoff.ts";
export { LiveClient, type LiveCounts, type LiveEvents, type LiveOptions } from "./client.ts";
export type { Clock, Screen } from "./clock.ts";
export { type CloseAction, type CloseRule, closeRule, type ErrorCode } from "./codes.ts";
export { Emitter } from "./emitter.ts";
export { Refused } from "./http.ts";
export { isOpen, type LinkState } from "./machine.ts";
export { matches } from "./matches.ts";
export { Optimistic } from "./optimistic.ts";
export { comparator, type Ordered } from "./order.ts";
export type { SendOptions, Sent } from "./outbox.ts";
export { type Codec, ProtocolError } from "./parse.ts";
export { BREAK, emptyPoint, type Point, Points, WORST_MASK } from "./points.ts";
export type * from "./protocol.ts";
export { SUBPROTOCOL } from "./protocol.ts";
export { Room, type RoomEvents, type RoomState, type ShownMessage } from "./room.ts";
export type { Socket, WebSocketConstructor } from "./socket.ts";
export { SeriesStore, StoredSeries, type StoreEvents, type StoreOptions } from "./store.ts";
export {
  type SubscribeOptions,
  Subscription,
  type SubscriptionCounts,
  type SubscriptionEvents,
  type SubscriptionState,
} from "./subscription.ts";
export { type GetToken, SignInNeeded, type TokenReason } from "./tokens.ts";
export * from "./update.ts";
export type { SeriesSink } from "./view.ts";
export { WaitTimeout } from "./waiters.ts";
