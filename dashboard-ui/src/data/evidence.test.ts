import { describe, expect, it } from "vitest";
import type { AlertMessage } from "../live/protocol";
import { picture } from "./evidence";

function alert(fields: Partial<AlertMessage>): AlertMessage {
  return { lo: null, hi: null, limit: null, ts: 3, ...fields } as AlertMessage;
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

  it("passes over values that are unknown, and has none of one value or none", () => {
    expect(picture(alert({ samples: [...samples, { ts: 4, value: null }] }))?.points).toHaveLength(3);
    expect(picture(alert({}))).toBeNull();
    expect(picture(alert({ samples: samples.slice(1, 2) }))).toBeNull();
    expect(picture(alert({ samples: [samples[0], { ts: 1, value: 3 }] as typeof samples }))).toBeNull();
  });

  it("gives values that do not change some height", () => {
    for (const value of [0, -7]) {
      const p = picture(alert({ samples: [1, 2].map((ts) => ({ ts, value })) }));
      expect(p?.high).toBeGreaterThan(p?.low ?? Number.POSITIVE_INFINITY);
      expect(p?.points[0]?.y).toBeCloseTo(0.5);
    }
  });
});
