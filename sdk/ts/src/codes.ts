export type { ErrorCode } from "./codes.gen.ts";

/** What a client does about a close: nothing, come back, come back with new credentials, or stay away. */
export type CloseAction = "none" | "reconnect" | "token" | "stop";

export interface CloseRule {
  readonly code: number;
  readonly reason: string;
  readonly action: CloseAction;
}

/** What the code's range does not say, by code and reason. A test compares all of it with the server's table. */
const EXCEPTIONS: Readonly<Record<string, CloseAction>> = {
  "1000 normal": "none",
  "1008 unauthenticated": "token",
  "1008 auth_timeout": "token",
  "1008 token_invalid": "token",
  // A request is refused for reasons that a WebSocket is closed for with other codes.
  "1008 token_expired": "token",
  "1008 token_revoked": "token",
  "1008 limit_address": "reconnect",
  "1008 limit_principal": "reconnect",
  "1008 connections_too_many": "reconnect",
};

/** Rule for a close: exact by code and reason, else by the code's range, which also covers later codes. */
export function closeRule(code: number, reason: string): CloseRule {
  return { code, reason, action: EXCEPTIONS[`${code} ${reason}`] ?? actionByRange(code) };
}

function actionByRange(code: number): CloseAction {
  if (code >= 4100 && code < 4200) return "token";
  if ((code >= 4200 && code < 4300) || [1002, 1007, 1008, 1009].includes(code)) return "stop";
  // 1000 unasked for included: a page that is open wants its data.
  return "reconnect";
}
