/**
 * Close codes of Weir's WebSockets and what a client does about each. The table mirrors wire/closecodes.go;
 * codes.test.ts compares it with the golden file generated from there.
 */

export type CloseAction = "none" | "reconnect" | "token" | "stop";

export interface CloseRule {
  readonly code: number;
  readonly reason: string;
  readonly action: CloseAction;
  /** A sentence for people. */
  readonly meaning: string;
}

export const CLOSE_RULES: readonly CloseRule[] = [
  { code: 1000, reason: "normal", action: "none", meaning: "the connection has served its purpose" },
  {
    code: 1001,
    reason: "draining",
    action: "reconnect",
    meaning: "the server is stopping; another one, or its successor, takes over",
  },
  {
    code: 1002,
    reason: "protocol_error",
    action: "stop",
    meaning: "the client's frames are not WebSocket's",
  },
  { code: 1008, reason: "unauthenticated", action: "token", meaning: "credentials are needed" },
  { code: 1008, reason: "auth_timeout", action: "token", meaning: "no credentials came in time" },
  { code: 1008, reason: "token_invalid", action: "token", meaning: "the credentials are not valid" },
  { code: 1008, reason: "forbidden", action: "stop", meaning: "the credentials do not permit this" },
  {
    code: 1008,
    reason: "limit_address",
    action: "reconnect",
    meaning: "too many connections from this address",
  },
  {
    code: 1008,
    reason: "limit_principal",
    action: "reconnect",
    meaning: "too many connections with these credentials",
  },
  { code: 1008, reason: "origin_refused", action: "stop", meaning: "a page of this origin may not connect" },
  { code: 1008, reason: "connections_too_many", action: "reconnect", meaning: "too many connections" },
  { code: 1009, reason: "frame_too_large", action: "stop", meaning: "a frame was larger than allowed" },
  { code: 1011, reason: "internal", action: "reconnect", meaning: "the server failed" },
  {
    code: 4000,
    reason: "slow_no_progress",
    action: "reconnect",
    meaning: "the client took or sent nothing complete for too long",
  },
  {
    code: 4001,
    reason: "resync_overflow",
    action: "reconnect",
    meaning: "more alerts were due than may wait for the client",
  },
  { code: 4002, reason: "server_restart", action: "reconnect", meaning: "the server restarts" },
  { code: 4003, reason: "heartbeat_missed", action: "reconnect", meaning: "the client did not answer pings" },
  { code: 4100, reason: "token_expired", action: "token", meaning: "the token has expired" },
  { code: 4101, reason: "token_revoked", action: "token", meaning: "the credentials have been revoked" },
  {
    code: 4200,
    reason: "protocol_error",
    action: "stop",
    meaning: "the client broke the protocol repeatedly",
  },
  {
    code: 4201,
    reason: "unsupported_protocol",
    action: "stop",
    meaning: "none of the client's subprotocols is spoken here",
  },
  {
    code: 4202,
    reason: "session_taken_over",
    action: "stop",
    meaning: "the MQTT client has connected again under its id",
  },
];

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
