/**
 * Whether the person in front of this page may see it, as a pure machine: access.ts feeds it with answers.
 *
 *   asking ──▶ open | signed-in ⇄ signed-out
 *      └─────▶ unknown (no answer: the connection tries on its own, and then it is asked again)
 */
export type AccessState =
  | { readonly name: "asking" }
  | { readonly name: "unknown" }
  /** The server asks nobody for credentials. */
  | { readonly name: "open" }
  | { readonly name: "signed-in"; readonly identity: Identity }
  | {
      readonly name: "signed-out";
      /** Why the sign-in page is there, a sentence or "". */
      readonly why: string;
      readonly busy: boolean;
      /** What was wrong with the last try, a sentence or "". */
      readonly problem: string;
    };

export interface Identity {
  readonly subject: string;
  readonly roles: readonly string[];
  readonly tenant: string;
}

export type AccessEvent =
  /** null: nobody needs to sign in. */
  | { readonly type: "answered"; readonly identity: Identity | null }
  | { readonly type: "unanswered" }
  | { readonly type: "needed"; readonly why: string }
  | { readonly type: "submitted" }
  | { readonly type: "rejected"; readonly problem: string };

export const ASKING: AccessState = { name: "asking" };

const ENDED = "Your session has ended. Sign in again to go on.";

export function step(state: AccessState, event: AccessEvent): AccessState {
  switch (event.type) {
    case "answered":
      return event.identity ? { name: "signed-in", identity: event.identity } : { name: "open" };
    case "unanswered":
      return state.name === "asking" ? { name: "unknown" } : state;
    case "needed": {
      if (state.name === "signed-out") return state;
      const why = event.why || (state.name === "signed-in" ? ENDED : "");
      return { name: "signed-out", why, busy: false, problem: "" };
    }
    case "submitted":
      return state.name === "signed-out" ? { ...state, busy: true, problem: "" } : state;
    case "rejected":
      return state.name === "signed-out" ? { ...state, busy: false, problem: event.problem } : state;
  }
}

/** What to say when credentials that did are refused, by code (of an error or of a close). */
export function whyNeeded(code: string): string {
  switch (code) {
    case "token_expired":
      return "Your session has expired. Sign in again to go on.";
    case "token_revoked":
      return "Your session was ended: its credentials have been revoked.";
    case "token_invalid":
      return "Your session is no longer valid. Sign in again to go on.";
    default:
      return "";
  }
}

/** What to say of credentials that were refused when they were presented. */
export function whyRejected(code: string, message: string, by: "token" | "code"): string {
  if (by === "code" && code === "token_invalid") {
    return "This link has been used already, or is too old. Links work once, for 15 minutes.";
  }
  switch (code) {
    case "token_invalid":
      return "This is not a valid API key or token. Check that it was copied whole.";
    case "token_expired":
      return "This key or token has expired.";
    case "token_revoked":
      return "This key or token has been revoked.";
    case "":
      return "The server does not answer. Try again.";
    default:
      return `The server refused: ${message}.`;
  }
}
