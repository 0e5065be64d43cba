import { emptyPoint, Points, State } from "@weir/live";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findPeak } from "./draw";
import { extent, settle } from "./range";

function points(
  ...list: { min: number; max: number; lo?: number; hi?: number; avg?: number; flags?: number }[]
) {
  const out = new Points(64);
  for (const [i, p] of list.entries()) out.push({ ...emptyPoint(), time: i, last: p.max, ...p });
  return out;
}

describe("value range", () => {
  it("is nothing without points", () => {
    expect(extent(points())).toBeNull();
  });

  it("holds the envelope and the band, but not a band that would flatten the line", () => {
    expect(extent(points({ min: 0, max: 10, lo: -4, hi: 13 }))).toEqual({ min: -4, max: 13 });
    expect(extent(points({ min: 0, max: 10, lo: -400, hi: 1300 }))).toEqual({ min: -10, max: 20 });
  });

  it("stays while the values fit and fill half of it", () => {
    const first = settle(null, { min: 0, max: 10 });
    expect(settle(first, { min: 1, max: 9 })).toBe(first);
    expect(settle(first, { min: 0, max: 40 })).not.toBe(first);
    expect(settle(first, { min: 4, max: 6 })).not.toBe(first);
  });

  it("of a constant is not empty", () => {
    const range = settle(null, { min: 7, max: 7 });
    expect(range.max).toBeGreaterThan(range.min);
  });

  it("is one that an axis can be divided in, whatever the values", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (a, b) => {
        const { min, max } = settle(null, { min: Math.min(a, b), max: Math.max(a, b) });
        const tick = (max - min) / 40;
        return Number.isFinite(tick) && tick > 0 && min + tick > min && max + tick > max;
      }),
      {
        endOnFailure: true, // two that hardly differ are shrunk for ever
        examples: [
          [9.1e15, 9.1e15 + 2],
          [-1e308, 1e308],
          [0, 5e-324],
        ],
      },
    );
  });
});

describe("marker", () => {
  it("sits at the value farthest from the average before the stretch", () => {
    const list = points(
      { min: 10, max: 10, avg: 10 },
      { min: 4, max: 11, avg: 9, flags: State.anomalous },
      { min: 9, max: 30, avg: 20, flags: State.alert },
    );
    expect(findPeak(list, 1, 3)).toEqual({ time: 2, value: 30, worst: State.alert });
  });
});
