import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { backoff, DEFAULT_BACKOFF } from "./backoff.ts";

describe("back-off", () => {
  it("doubles its bound up to the cap and spreads over all of it", () => {
    const bounds = [0, 1, 2, 3, 4, 5, 6].map((n) => backoff(n, 0.999_999));
    expect(bounds).toEqual([499, 999, 1999, 3999, 7999, 14_999, 14_999]);
    expect(backoff(5, 0)).toBe(0);
  });

  it("never exceeds the cap", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
        const delay = backoff(attempt, random);
        return delay >= 0 && delay < DEFAULT_BACKOFF.cap;
      }),
    );
  });
});
