import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { INITIAL, type LinkEvent, type LinkState, SETTLED_AFTER, step, TABLE } from "./machine.ts";

const retry = (now = 0): LinkEvent => ({ type: "retry", now, delay: 100, code: 1006, reason: "" });
const connecting = step(INITIAL, { type: "dial" });
const live = step(connecting, { type: "welcome", now: 0 });

const anyEvent: fc.Arbitrary<LinkEvent> = fc.oneof(
  fc.constantFrom<LinkEvent>({ type: "dial" }, { type: "frame" }, { type: "silence" }, { type: "hang_up" }),
  fc.nat(10_000).map((now): LinkEvent => ({ type: "welcome", now })),
  fc.nat(10_000).map((now) => retry(now)),
  fc.constantFrom<LinkEvent>({ type: "sign_in", reason: "r" }, { type: "refuse", code: 4200, reason: "r" }),
);

describe("connection state", () => {
  it("goes where the table says and nowhere else, whatever happens", () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let state: LinkState = INITIAL;
        for (const event of events) {
          const next = step(state, event);
          const to = TABLE[state.name][event.type];
          if (to === undefined) expect(next).toBe(state);
          else expect(next.name).toBe(to);
          state = next;
        }
      }),
    );
  });

  it("can be left by hanging up from everywhere, and by dialling from wherever nothing is open", () => {
    for (const [name, events] of Object.entries(TABLE)) {
      if (name !== "idle") expect(events.hang_up, name).toBe("idle");
      const open = ["connecting", "live", "stale"].includes(name);
      expect(events.dial === undefined, name).toBe(open);
    }
  });

  it("is live after the welcome, stale in silence, live again with the next frame", () => {
    expect(live.name).toBe("live");
    const stale = step(live, { type: "silence" });
    expect(stale.name).toBe("stale");
    expect(step(stale, { type: "frame" }).name).toBe("live");
  });

  it("counts failures in a row", () => {
    const once = step(connecting, retry());
    expect(once).toMatchObject({ name: "reconnecting", attempt: 1, retryAt: 100 });
    expect(step(step(once, { type: "dial" }), retry())).toMatchObject({ attempt: 2 });
  });

  it("counts on when a server welcomes and closes at once, and anew after a good connection", () => {
    const flapping = step({ name: "connecting", attempt: 3 }, { type: "welcome", now: 1000 });
    expect(step(flapping, retry(1001))).toMatchObject({ attempt: 4 });
    expect(step(flapping, retry(1000 + SETTLED_AFTER))).toMatchObject({ attempt: 1 });
  });
});
