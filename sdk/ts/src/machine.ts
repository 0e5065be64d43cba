/**
 * State of the connection, as a pure machine: connection.ts feeds it with events and acts on the result.
 *
 *   idle ──dial──▶ connecting ──welcome──▶ live ⇄ stale      (stale: the socket is open but nothing arrives)
 *                    ▲   └───────────┬──────┴──────┘
 *                    │               ▼ the link is lost
 *                    └─dial─ reconnecting | unauthenticated (wants credentials) | refused (until a person retries)
 *
 * hang_up leads to idle from everywhere. What TABLE does not list changes nothing.
 */
export type LinkState =
  | { readonly name: "idle" }
  | { readonly name: "connecting"; readonly attempt: number }
  | { readonly name: "live"; readonly attempt: number; readonly since: number }
  | { readonly name: "stale"; readonly attempt: number; readonly since: number }
  | {
      readonly name: "reconnecting";
      readonly attempt: number;
      /** By the connection's clock, ms. */
      readonly retryAt: number;
      /** Code and reason of the close, 1006 where there was none; reason may be an error's text. */
      readonly code: number;
      readonly reason: string;
    }
  /** With code 0 and gave_up: after the last of the retries. */
  | { readonly name: "refused"; readonly code: number; readonly reason: string }
  | { readonly name: "unauthenticated"; readonly reason: string };

export type LinkEvent =
  | { readonly type: "dial" }
  | { readonly type: "welcome"; readonly now: number }
  | { readonly type: "frame" }
  | { readonly type: "silence" }
  | {
      readonly type: "retry";
      readonly now: number;
      readonly delay: number;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly type: "sign_in"; readonly reason: string }
  | { readonly type: "refuse"; readonly code: number; readonly reason: string }
  | { readonly type: "hang_up" };

export type StateName = LinkState["name"];
export type EventName = LinkEvent["type"];

const LOST = { retry: "reconnecting", sign_in: "unauthenticated", refuse: "refused" } as const;
const ENDS = { hang_up: "idle" } as const;

/** Where each event leads from each state. */
export const TABLE: Readonly<Record<StateName, Readonly<Partial<Record<EventName, StateName>>>>> = {
  idle: { dial: "connecting" },
  connecting: { welcome: "live", ...LOST, ...ENDS },
  live: { silence: "stale", ...LOST, ...ENDS },
  stale: { frame: "live", ...LOST, ...ENDS },
  reconnecting: { dial: "connecting", ...ENDS },
  unauthenticated: { dial: "connecting", ...ENDS },
  refused: { dial: "connecting", ...ENDS },
};

/** A connection that stayed this long (ms) was good: the next loss starts the back-off anew. */
export const SETTLED_AFTER = 5_000;

export const INITIAL: LinkState = { name: "idle" };

/** The state after the event; the same object if it changes nothing. */
export function step(state: LinkState, event: LinkEvent): LinkState {
  const name = TABLE[state.name][event.type];
  return name ? ({ ...told(state, event), name } as LinkState) : state;
}

/** What the state after the event has beside its name. */
function told(state: LinkState, event: LinkEvent): object {
  const attempt = attemptOf(state);
  switch (event.type) {
    case "dial":
      return { attempt };
    case "welcome":
      return { attempt, since: event.now };
    case "frame":
    case "silence":
      return state;
    case "retry": {
      const { now, delay, code, reason } = event;
      return { attempt: attemptAfter(state, now) + 1, retryAt: now + delay, code, reason };
    }
    default: {
      const { type: _, ...why } = event;
      return why;
    }
  }
}

function attemptOf(state: LinkState): number {
  return "attempt" in state ? state.attempt : 0;
}

/** Number of failures in a row before a loss now. */
export function attemptAfter(state: LinkState, now: number): number {
  const settled = "since" in state && now - state.since >= SETTLED_AFTER;
  return settled ? 0 : attemptOf(state);
}

export function isOpen(state: LinkState): boolean {
  return state.name === "live" || state.name === "stale";
}
