import type { AlertMessage, Severity, Welcome } from "@weir/live";
import { emptyUpdate, State, stateName, type Update } from "@weir/live";
import { beforeEach, describe, expect, it } from "vitest";
import { AlertFeed, isOpen } from "./alerts";
import { chartOrder, filterSeries, sortSeries } from "./order";
import { RateMeter } from "./rates";
import { ATTENTION } from "./series";
import { Silences } from "./silences";
import { Store } from "./store";

const START = 1_700_000_000_000;
let now: number;
let store: Store;

const welcome = (epoch: string, serverTime = START): Welcome => ({
  protocol: "weir.v1.json",
  epoch,
  session: "s",
  server_time: serverTime * 1000,
  heartbeat_ms: 1000,
  insecure: false,
});

function update(since: number, version: number, change: Partial<Update> = {}): Update {
  const t = now * 1000;
  const one = { n: 1, first_ts: t, last_ts: t, last: 1, min: 1, max: 1, sum: 1, ingest_ts: t, emit_ts: t };
  return { ...emptyUpdate(), since, version, ...one, ...change };
}

function feed(name: string, change: Partial<Update> = {}): void {
  const series = store.open(name);
  const { version } = series.latest;
  store.accept(series, update(version, version + 1, change));
}

beforeEach(() => {
  now = START;
  store = new Store(() => now);
  store.welcome(welcome("e1"));
});

describe("store", () => {
  it("tells the age of the newest reading by the server's clock", () => {
    expect(store.dataAge()).toBeNaN();
    store.welcome(welcome("e1", START + 5000));
    feed("a/t", { ingest_ts: (START + 4000) * 1000 });
    now += 250;
    expect(store.dataAge()).toBe(1250);
  });

  it("takes a row of a snapshot that it knows already only once", () => {
    const series = store.open("a/t");
    store.accept(series, update(-1, 7));
    store.accept(series, update(-1, 7));
    expect(series.rows).toBe(1);
    expect(series.history.size).toBe(1);
  });

  it("forgets versions and past when the epoch changes", () => {
    feed("a/t");
    store.welcome(welcome("e2"));
    const series = store.open("a/t");
    expect(series.history.size).toBe(0);
    store.accept(series, update(-1, 0));
    expect(series.rows).toBe(1);
  });

  it("knows when it last began anew, and why", () => {
    expect(store.lastResync).toBeNull();
    store.resync("gap");
    expect(store.lastResync).toEqual({ at: now, reason: "gap" });
    feed("a/t");
    now += 10;
    store.welcome(welcome("e2"));
    expect(store.lastResync).toEqual({ at: now, reason: "epoch_changed" });
  });

  it("parts with a series that is gone, and not with one of its name", () => {
    feed("a/t");
    feed("b/t");
    const gone = store.open("a/t");
    store.remove(gone);
    expect(store.all().map((s) => s.name)).toEqual(["b/t"]);
    feed("a/t");
    store.remove(gone);
    expect(store.all().map((s) => s.name)).toEqual(["a/t", "b/t"]);
  });

  it("keeps what the new pattern selects", () => {
    feed("a/t");
    feed("b/t");
    store.restrict(["c/#", "b/#"]);
    expect(store.all().map((s) => s.name)).toEqual(["b/t"]);
  });

  it("makes room for many series by keeping less of each", () => {
    for (let i = 0; i < 3000; i++) feed(`d${i}/t`);
    expect(store.get("d0/t")?.history.budget.fine).toBe(64);
    expect(store.get("d0/t")?.history.size).toBe(1);
  });

  it("draws a device with a wrong clock by arrival", () => {
    feed("a/t", { last_ts: 1_000_000 });
    expect(store.get("a/t")?.timeBase).toBe("arrival");
    expect(store.get("a/t")?.history.newestTime).toBe(START);
  });

  it("lets a row without readings advance the version and nothing else", () => {
    feed("a/t", { last: 5 });
    feed("a/t", { n: 0, last: Number.NaN, min: Number.NaN, max: Number.NaN, late: 2 });
    const series = store.get("a/t");
    expect(series?.latest).toMatchObject({ last: 5, version: 1 });
    expect(series?.history.size).toBe(1);
    expect(series?.leftOut).toBe(2);
  });
});

describe("order", () => {
  beforeEach(() => {
    feed("d10/t");
    feed("d2/t", { state: State.anomalous, worst: State.anomalous, score: 0.4 });
    feed("d1/t", { state: State.alert, worst: State.alert, score: 0.9 });
    feed("d3/t", { state: State.offline });
    feed("d4/t", { state: State.warming, last: Number.NaN });
  });
  const names = (list: readonly { name: string }[]) => list.map((s) => s.name);

  it("worst first: alert, anomalous, offline, warming, ok", () => {
    const sorted = sortSeries(store.all(), { key: "worst", descending: true }, now);
    expect(names(sorted)).toEqual(["d1/t", "d2/t", "d3/t", "d4/t", "d10/t"]);
  });

  it("an open alert counts as the series' state, the gravest first, until it is over", () => {
    const about = (series: string, severity: Severity, phase: AlertMessage["phase"] = "firing") =>
      store.alert({ id: `${series} ${severity}`, series, severity, phase, version: 1 } as AlertMessage);
    const worstFirst = () => names(sortSeries(store.all(), { key: "worst", descending: true }, now));
    about("d10/t", "critical");
    about("d3/t", "warning", "flapping");
    about("d4/t", "info");
    about("d9/t", "warning"); // of which no reading has come yet
    expect(worstFirst()).toEqual(["d10/t", "d3/t", "d1/t", "d2/t", "d4/t"]);
    expect(names(chartOrder(store.all(), now)).slice(0, 4)).toEqual(["d10/t", "d3/t", "d1/t", "d2/t"]);
    feed("d9/t");
    expect(["d10/t", "d3/t", "d4/t", "d9/t"].map((n) => store.get(n)?.state)).toEqual([
      State.alert,
      State.alert,
      State.warming,
      State.alert,
    ]);
    about("d10/t", "info");
    about("d10/t", "critical", "resolved");
    expect(store.get("d10/t")).toMatchObject({ state: State.ok, severity: "info" });
    store.snapshot([], 0);
    expect(store.get("d3/t")).toMatchObject({ state: State.offline, severity: undefined });
    expect(worstFirst()).toEqual(["d1/t", "d2/t", "d3/t", "d4/t", "d9/t", "d10/t"]);
  });

  it("by name puts 2 before 10", () => {
    const sorted = sortSeries(store.all(), { key: "name", descending: false }, now);
    expect(names(sorted)).toEqual(["d1/t", "d2/t", "d3/t", "d4/t", "d10/t"]);
  });

  it("keeps unknown values last either way", () => {
    for (const descending of [true, false]) {
      expect(names(sortSeries(store.all(), { key: "last", descending }, now)).at(-1)).toBe("d4/t");
    }
  });

  it("of the charts keeps what was anomalous in front for a while, then goes back to names", () => {
    feed("d10/t", { worst: State.alert });
    feed("d10/t");
    expect(names(chartOrder(store.all(), now)).slice(0, 2)).toEqual(["d1/t", "d10/t"]);
    now += ATTENTION + 1;
    expect(names(chartOrder(store.all(), now)).slice(0, 3)).toEqual(["d1/t", "d2/t", "d3/t"]);
  });

  it("filters by words of the name and by state", () => {
    const by = (text: string) => names(filterSeries(store.all(), text, (s) => stateName(s.latest.state)));
    expect(by("D1 t")).toEqual(["d1/t", "d10/t"]);
    expect(by("alert")).toEqual(["d1/t"]);
    expect(by("d1 ok")).toEqual(["d10/t"]);
  });
});

describe("alert feed", () => {
  const alert = (id: string, phase: AlertMessage["phase"], ts: number): AlertMessage => ({
    id,
    rule: "deviation",
    series: "a/t",
    phase,
    version: ts,
    raised: 1,
    started_ts: 1,
    ts,
    value: 9,
    score: 1,
    lo: 0,
    hi: 2,
    detector: "ewma",
    summary: "",
  });

  it("shows each alert once, by its newest transition, newest first", () => {
    const list = new AlertFeed(new Silences(() => now));
    list.add(alert("x", "firing", 1));
    list.add(alert("y", "firing", 2));
    list.add(alert("x", "resolved", 3));
    list.add(alert("x", "firing", 1)); // again, from a resume
    expect(list.list().map((e) => [e.alert.id, e.alert.phase])).toEqual([
      ["x", "resolved"],
      ["y", "firing"],
    ]);
    expect(list.firing()).toBe(1);
  });

  it("tells that an alert ended while the page was away", () => {
    const list = new AlertFeed(new Silences(() => now));
    list.add(alert("x", "firing", 1));
    list.setOpen([alert("y", "firing", 2)]);
    expect(list.list().map((e) => [e.alert.id, isOpen(e)])).toEqual([
      ["y", true],
      ["x", false],
    ]);
  });

  it("counts as firing what nobody has in hand, whatever phase is open", () => {
    const list = new AlertFeed(new Silences(() => now));
    const note = { by: "alice", time: 1 };
    list.add(alert("firing", "firing", 1));
    list.add(alert("flapping", "flapping", 2));
    list.add({ ...alert("flapping, in hand", "flapping", 3), acknowledged: note });
    list.add(alert("acknowledged", "acknowledged", 4));
    list.add({ ...alert("silenced", "firing", 5), silences: ["s"] });
    list.add({ ...alert("inhibited", "firing", 6), inhibited_by: "x" });
    list.add(alert("over", "resolved", 7));
    expect(list.firing()).toBe(2);
    expect(list.list().filter(isOpen)).toHaveLength(6);
    expect(list.get("over")?.alert.phase).toBe("resolved");
  });

  it("is bounded, and drops what is over before what is open", () => {
    const list = new AlertFeed(new Silences(() => now), 2);
    list.add(alert("open", "firing", 1));
    list.add(alert("over", "resolved", 2));
    list.add(alert("new", "firing", 3));
    expect(list.list().map((e) => e.alert.id)).toEqual(["new", "open"]);
  });

  it("counts all that is open far beyond what it keeps of the past, and keeps the one that is shown", () => {
    const list = new AlertFeed(new Silences(() => now), 2, 4);
    list.shown = "shown";
    list.add(alert("shown", "resolved", 0));
    for (const ts of [1, 2, 3]) list.add(alert(`open ${ts}`, "firing", ts));
    expect([list.firing(), list.size]).toEqual([3, 4]);
    list.add(alert("open 4", "firing", 4));
    expect(list.list().map((e) => e.alert.id)).toEqual(["open 4", "open 3", "open 2", "shown"]);
  });
});

describe("rate", () => {
  it("is the mean of the last whole seconds", () => {
    const meter = new RateMeter(0, 5);
    for (let t = 0; t < 20_000; t += 100) meter.add(3, t);
    expect(meter.perSecond(20_000)).toBe(30);
    expect(meter.perSecond(22_000)).toBe(18);
    expect(meter.perSecond(60_000)).toBe(0);
  });

  it("counts from the start before there are that many", () => {
    const meter = new RateMeter(10_000, 5);
    meter.add(8, 10_500);
    expect(meter.perSecond(10_900)).toBe(0);
    expect(meter.perSecond(12_000)).toBe(4);
  });
});
