import { describe, expect, it } from "vitest";
import { closeRule } from "./codes";
import { INITIAL, type LinkState, SETTLED_AFTER, step } from "./machine";

const lost = (state: LinkState, code: number, reason = "", now = 0): LinkState =>
  step(state, { type: "closed", rule: closeRule(code, reason), now, delay: 100 });
const live = step(INITIAL, { type: "welcome", now: 0 });

describe("connection state", () => {
  it("is live after the welcome, stale in silence, live again with the next frame", () => {
    expect(live.name).toBe("live");
    const stale = step(live, { type: "silence", now: 9 });
    expect(stale.name).toBe("stale");
    expect(step(stale, { type: "frame" }).name).toBe("live");
  });

  it("does not change for a frame while live, so that nothing is redrawn", () => {
    expect(step(live, { type: "frame" })).toBe(live);
  });

  it("comes back after a loss and counts failures in a row", () => {
    const once = lost(INITIAL, 1006);
    expect(once).toMatchObject({ name: "reconnecting", attempt: 1, retryAt: 100 });
    const twice = lost(step(once, { type: "dial" }), 1006);
    expect(twice).toMatchObject({ name: "reconnecting", attempt: 2 });
  });

  it("counts on when a server welcomes and closes at once, and anew after a good connection", () => {
    const flapping = step({ name: "connecting", attempt: 3 }, { type: "welcome", now: 1000 });
    expect(lost(flapping, 1011, "", 1001)).toMatchObject({ attempt: 4 });
    expect(lost(flapping, 1011, "", 1000 + SETTLED_AFTER)).toMatchObject({ attempt: 1 });
  });

  it("ends refused when the server says not to come back, until a person retries", () => {
    const refused = lost(live, 1008, "origin_refused");
    expect(refused).toMatchObject({ name: "refused", code: 1008 });
    expect(lost(refused, 1006)).toBe(refused);
    expect(step(refused, { type: "dial" })).toEqual({ name: "connecting", attempt: 0 });
  });

  it.each([
    [1008, "unauthenticated"],
    [1008, "auth_timeout"],
    [1008, "token_invalid"],
    [4100, "token_expired"],
    [4101, "token_revoked"],
    [4142, "of a later server"],
  ])("waits for somebody to sign in after %i %s", (code, reason) => {
    const closed = lost(live, code, reason);
    expect(closed).toEqual({ name: "unauthenticated", reason });
    expect(lost(closed, 1006)).toBe(closed);
    expect(step(closed, { type: "dial" })).toEqual({ name: "connecting", attempt: 0 });
  });

  it("comes back after a limit of connections", () => {
    expect(lost(live, 1008, "limit_principal").name).toBe("reconnecting");
  });
});
