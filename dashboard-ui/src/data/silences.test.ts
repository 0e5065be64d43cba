import type { AlertMessage } from "@weir/live";
import { beforeEach, describe, expect, it } from "vitest";
import { AlertFeed } from "./alerts";
import { type Silence, Silences } from "./silences";

let now: number;
let silences: Silences;

const alert = (fields: Partial<AlertMessage> = {}) =>
  ({
    id: "x",
    rule: "hot",
    series: "a/b/t",
    severity: "warning",
    phase: "firing",
    ...fields,
  }) as AlertMessage;
const silence = (id: string, fields: Partial<Silence> = {}): Silence => ({
  id,
  series: "a/#",
  from: 10_000,
  until: 20_000,
  by: "alice",
  ...fields,
});
const ids = (list: readonly Silence[]) => list.map((s) => s.id);

beforeEach(() => {
  now = 15;
  silences = new Silences(() => now);
});

describe("silences", () => {
  it("are in force from their beginning until their end, the next to end first", () => {
    silences.set([silence("late", { until: 30_000 }), silence("s"), silence("waits", { from: 21_000 })]);
    expect(ids(silences.active())).toEqual(["s", "late"]);
    now = 20;
    expect(ids(silences.active())).toEqual(["late"]);
    silences.put(silence("late", { until: 20_000 }));
    expect(silences.active()).toEqual([]);
  });

  it("cover the alerts of their series, rules and severities", () => {
    silences.set([
      silence("all"),
      silence("rule", { rules: ["hot"] }),
      silence("other rule", { rules: ["cold"] }),
      silence("graver", { severities: ["critical"] }),
      silence("elsewhere", { series: "b/#" }),
    ]);
    expect(ids(silences.ofSeries("a/b/t"))).toEqual(["all", "rule", "other rule", "graver"]);
    expect(ids(silences.ofAlert(alert()))).toEqual(["all", "rule"]);
  });

  it("count rather than an alert's marks, but for those that may not be known here", () => {
    const feed = new AlertFeed(silences);
    feed.add(alert({ silences: ["s"] }));
    expect(feed.firing()).toBe(0);
    silences.set([silence("s")]);
    expect(feed.firing()).toBe(0);
    silences.put(silence("s", { until: 15_000 }));
    expect(feed.firing()).toBe(1);
    feed.add(alert({ silences: [] }));
    silences.put(silence("new"));
    expect(feed.firing()).toBe(0);
  });
});
