import { BREAK, emptyPoint, type Point, Points, State } from "@weir/live";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decimate } from "./decimate";
import { extremes } from "./extent";
import { History } from "./history";

const point = (time: number, value: number, flags = 0): Point => ({
  ...emptyPoint(),
  time,
  last: value,
  min: value,
  max: value,
  avg: value,
  flags,
});

function all(points: Points): Point[] {
  return Array.from({ length: points.size }, (_, i) => {
    const p = emptyPoint();
    points.read(i, p);
    return p;
  });
}

describe("ring of points", () => {
  it("grows to its limit, then overwrites the oldest", () => {
    const ring = new Points(256);
    for (let i = 0; i < 1000; i++) ring.push(point(i, -i));
    expect(ring.size).toBe(256);
    expect(all(ring).map((p) => p.time)).toEqual(Array.from({ length: 256 }, (_, i) => 744 + i));
    expect(all(ring)[0]?.last).toBe(-744);
  });

  it("finds by time", () => {
    const ring = new Points(64);
    for (let i = 0; i < 100; i++) ring.push(point(i * 10, i));
    expect(ring.timeAt(ring.firstFrom(505))).toBe(510);
    expect(ring.firstFrom(0)).toBe(0);
    expect(ring.firstFrom(5000)).toBe(ring.size);
  });

  it("merging keeps extremes, the newest value and the worst state", () => {
    const ring = new Points(64);
    ring.push(point(1, 5, BREAK | State.alert));
    ring.mergeIntoNewest(point(2, 9));
    ring.mergeIntoNewest(point(3, 7, BREAK));
    expect(all(ring)).toMatchObject([{ time: 3, last: 7, min: 5, max: 9, flags: BREAK | State.alert }]);
  });
});

describe("history", () => {
  it("keeps a spike however old it gets and however little room there is", () => {
    const history = new History({ fine: 64, coarse: 64 });
    // 10 minutes at 20 Hz.
    for (let i = 0; i < 12_000; i++) history.add(point(i * 50, i === 777 ? 1e6 : 1));
    expect(history.size).toBeLessThanOrEqual(128);
    expect(extremes(history, 0).max).toBe(1e6);
    expect(extremes(history, 60_000).max).toBe(1);
    expect(extremes(history.resized({ fine: 64, coarse: 64 }), 0).max).toBe(1e6);
  });

  it("never goes back in time: an older point is merged into the newest", () => {
    const history = new History({ fine: 64, coarse: 64 });
    history.add(point(100, 1));
    history.add(point(90, 7));
    expect(all(history.fine)).toMatchObject([{ time: 100, last: 7, max: 7, min: 1 }]);
  });
});

describe("decimation", () => {
  it("keeps the extremes of what is in sight, in growing time, at most one point per bucket", () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 700 }), (vs, width) => {
        const history = new History({ fine: 64, coarse: 256 });
        for (const [i, v] of vs.entries()) history.add(point(i * 100, v));
        const out = new Points(4096);
        decimate(history, 0, vs.length * 100, width, out);
        const got = all(out);
        expect(Math.max(...got.map((p) => p.max))).toBe(Math.max(...vs));
        expect(Math.min(...got.map((p) => p.min))).toBe(Math.min(...vs));
        for (const [i, p] of got.entries()) {
          const before = got[i - 1];
          if (before) expect(Math.floor(p.time / width)).toBeGreaterThan(Math.floor(before.time / width));
        }
      }),
    );
  });

  it("gives old points the same buckets while the picture scrolls", () => {
    const history = new History({ fine: 1024, coarse: 64 });
    for (let i = 0; i < 500; i++) history.add(point(i * 37, Math.sin(i)));
    const [a, b] = [new Points(4096), new Points(4096)];
    decimate(history, 2000, 12_000, 200, a);
    decimate(history, 2200, 12_200, 200, b);
    const inBoth = (p: Point) => p.time > 2500 && p.time < 11_900;
    expect(all(a).filter(inBoth)).toEqual(all(b).filter(inBoth));
  });

  it("keeps one point before the window and does not merge over a break", () => {
    const history = new History({ fine: 64, coarse: 64 });
    for (const p of [point(10, 1), point(20, 2), point(110, 3), point(120, 4, BREAK)]) history.add(p);
    const out = new Points(64);
    decimate(history, 100, 200, 100, out);
    expect(all(out).map((p) => p.time)).toEqual([20, 110, 120]);
  });
});
