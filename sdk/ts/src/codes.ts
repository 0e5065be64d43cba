import { CLOSE_TABLE } from "./codes.gen.ts";

export type { ErrorCode } from "./codes.gen.ts";

/** What a client does about a close: nothing, come back, come back with new credentials, or stay away. */
export type CloseAction = "none" | "reconnect" | "token" | "stop";

export interface CloseRule {
  readonly code: number;
  readonly reason: string;
  readonly action: CloseAction;
}

/** Rule for a close: exact by code and reason, else by the code's range, which also covers later codes. */
export function closeRule(code: number, reason: string): CloseRule {
  const named = CLOSE_TABLE.filter((r) => r[1] === reason);
  // A request is refused for reasons that a WebSocket is closed for with other codes.
  const known = named.find((r) => r[0] === code) ?? (code === 1008 && named[0]);
  return { code, reason, action: known ? known[2] : actionByRange(code) };
}

function actionByRange(code: number): CloseAction {
  if (code >= 4100 && code < 4200) return "token";
  if (code >= 4200 && code < 4300) return "stop";
  if (code === 1008 || code === 1009) return "stop";
  // 1000 unasked for included: a page that is open wants its data.
  return "reconnect";
}
