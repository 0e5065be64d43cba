import type { AlertMessage } from "@weir/live";
import { describe, expect, it } from "vitest";
import { picture } from "./evidence";

function alert(fields: Partial<AlertMessage>): AlertMessage {
  return { lo: null, hi: null, limit: null, ts: 3, detector: "threshold", ...fields } as AlertMessage;
}

const samples = [
  { ts: 1, value: 10 },
  { ts: 2, value: 20 },
  { ts: 3, value: 90 },
];

describe("picture of an alert's samples", () => {
  it("has the samples, the band and the limit within its bounds", () => {
    const p = picture(alert({ samples, lo: 5, hi: 25, limit: 100 }));
    expect(p?.points.map((one) => one.x)).toEqual([0, 0.5, 1]);
    expect(p?.high).toBeGreaterThan(100);
    expect(p?.low).toBeLessThan(5);
    const ys = [...(p?.points ?? []).map((one) => one.y), p?.limit, p?.band?.top, p?.band?.bottom];
    for (const y of ys) {
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThan(1);
    }
    // Higher values are nearer to the top.
    expect(ys[2]).toBeLessThan(ys[1] ?? 0);
    expect(p?.limit).toBeLessThan(p?.band?.top ?? 0);
  });

  it("does without a band or a limit", () => {
    const p = picture(alert({ samples, lo: 5 }));
    expect([p?.band, p?.limit]).toEqual([null, null]);
  });

  it("passes over values that are unknown, and has none of no value", () => {
    expect(picture(alert({ samples: [...samples, { ts: 4, value: null }] }))?.points).toHaveLength(3);
    expect(picture(alert({}))).toBeNull();
    expect(picture(alert({ samples: [{ ts: 4, value: null }] }))).toBeNull();
  });

  it("has what is of one instant in the middle", () => {
    const one = picture(alert({ samples: samples.slice(1, 2) }));
    expect(one?.points).toEqual([{ ts: 2, value: 20, x: 0.5, y: expect.closeTo(0.5) }]);
    const two = picture(alert({ samples: [samples[0], { ts: 1, value: 3 }] as typeof samples }));
    expect(two?.points.map((p) => p.x)).toEqual([0.5, 0.5]);
  });

  it.each(["absence", "rate", "novelty"])("does not take the limit of %s for a value", (detector) => {
    const without = picture(alert({ samples }));
    expect(picture(alert({ samples, limit: 300, detector }))).toEqual(without);
  });

  it("gives values that do not change some height", () => {
    for (const value of [0, -7]) {
      const p = picture(alert({ samples: [1, 2].map((ts) => ({ ts, value })) }));
      expect(p?.high).toBeGreaterThan(p?.low ?? Number.POSITIVE_INFINITY);
      expect(p?.points[0]?.y).toBeCloseTo(0.5);
    }
  });
});
