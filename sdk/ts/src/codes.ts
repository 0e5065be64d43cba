import { CLOSE_TABLE } from "./codes.gen.ts";

export type { ErrorCode } from "./codes.gen.ts";

/** What a client does about a close: nothing, come back, come back with new credentials, or stay away. */
export type CloseAction = "none" | "reconnect" | "token" | "stop";

export interface CloseRule {
  readonly code: number;
  readonly reason: string;
  readonly action: CloseAction;
  /** A sentence for people. */
  readonly meaning: string;
}

/** Close codes of Weir's WebSockets and what a client does about each: wire/closecodes.go. */
export const CLOSE_RULES: readonly CloseRule[] = CLOSE_TABLE.map(([code, reason, action, meaning]) => ({
  code,
  reason,
  action,
  meaning,
}));

/** Rule for a close: exact by code and reason, else by the code's range, which also covers later codes. */
export function closeRule(code: number, reason: string): CloseRule {
  const exact = CLOSE_RULES.find((r) => r.code === code && r.reason === reason);
  if (exact) return exact;
  const action = actionByRange(code);
  const meaning = CLOSE_RULES.find((r) => r.code === code)?.meaning ?? "the server cannot be reached";
  return { code, reason, action, meaning: reason ? `${meaning} (${reason})` : meaning };
}

function actionByRange(code: number): CloseAction {
  if (code >= 4100 && code < 4200) return "token";
  if (code >= 4200 && code < 4300) return "stop";
  if (code === 1008 || code === 1009) return "stop";
  // 1000 unasked for included: a page that is open wants its data.
  return "reconnect";
}
