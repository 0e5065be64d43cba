import type { CloseRule } from "./codes";

/**
 * State of the connection, as a pure machine: connection.ts feeds it with events and acts on the result.
 *
 *   connecting ──welcome──▶ live ⇄ stale        (stale: the socket is open but nothing arrives)
 *       ▲  └──────closed──┐  │       │
 *      dial               ▼  ▼       ▼
 *       └───────────── reconnecting ◀┘  ──or──▶ refused (until a person retries), unauthenticated (signs in)
 */
export type LinkState =
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "live"; readonly attempt: number; readonly since: number }
  | { readonly name: "stale"; readonly attempt: number; readonly since: number }
  | {
      readonly name: "reconnecting";
      readonly attempt: number;
      readonly retryAt: number;
      readonly why: string;
    }
  | { readonly name: "refused"; readonly code: number; readonly why: string }
  | { readonly name: "unauthenticated"; readonly reason: string };

export type LinkEvent =
  | { readonly type: "welcome"; readonly now: number }
  | { readonly type: "frame" }
  | { readonly type: "silence"; readonly now: number }
  | { readonly type: "closed"; readonly rule: CloseRule; readonly now: number; readonly delay: number }
  | { readonly type: "hang up" }
  | { readonly type: "dial" };

/** A connection that stayed this long (ms) was good: the next loss starts the back-off anew. */
export const SETTLED_AFTER = 5_000;

export const INITIAL: LinkState = { name: "connecting", attempt: 0 };

export function step(state: LinkState, event: LinkEvent): LinkState {
  switch (event.type) {
    case "dial":
      return { name: "connecting", attempt: "attempt" in state ? state.attempt : 0 };
    case "welcome":
      return state.name === "connecting" ? { name: "live", attempt: state.attempt, since: event.now } : state;
    case "frame":
      return state.name === "stale" ? { ...state, name: "live" } : state;
    case "silence":
      return state.name === "live" ? { ...state, name: "stale" } : state;
    case "hang up":
      return INITIAL;
    case "closed":
      return closed(state, event.rule, event.now + event.delay);
  }
}

function closed(state: LinkState, rule: CloseRule, retryAt: number): LinkState {
  if (!("attempt" in state) || state.name === "reconnecting") return state;
  if (rule.action === "token") return { name: "unauthenticated", reason: rule.reason };
  if (rule.action === "stop") return { name: "refused", code: rule.code, why: rule.meaning };
  return { name: "reconnecting", attempt: attemptAfter(state, retryAt) + 1, retryAt, why: rule.meaning };
}

/** Number of failures in a row before this close. */
export function attemptAfter(state: LinkState, now: number): number {
  if (!("attempt" in state)) return 0;
  const settled = (state.name === "live" || state.name === "stale") && now - state.since >= SETTLED_AFTER;
  return settled ? 0 : state.attempt;
}
