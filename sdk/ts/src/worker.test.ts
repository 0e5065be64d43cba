import { beforeEach, describe, expect, it } from "vitest";
import { channel, FakeScreen, FakeServer, row, settled } from "./fakes.ts";
import { serve } from "./worker.ts";
import { LiveWorker, type LiveWorkerOptions } from "./worker-client.ts";

let server: FakeServer;
let screen: FakeScreen;
let live: LiveWorker;

function start(options: Partial<LiveWorkerOptions> = {}): void {
  const [page, worker] = channel();
  server = new FakeServer();
  screen = new FakeScreen();
  const open = () => server.open();
  serve(worker, { open, clock: server.clock, random: () => 0.5 });
  live = new LiveWorker(page, { url: "http://weir.example", screen, credits: 4, ...options });
}

beforeEach(() => start());

describe("a worker", () => {
  it("delivers the snapshot, and then one merged batch per picture", () => {
    const { sink: store } = live.subscribe({ patterns: ["#"] });
    const batches: number[] = [];
    store.on("changed", (all) => batches.push(all.size));
    server.socket.welcome();
    expect(live.state.name).toBe("live");
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10, 5), row(1, -1, 10, 5)]);
    expect(batches).toEqual([2]);
    server.socket.updates(1, [row(0, 10, 11, 99)]);
    server.socket.updates(1, [row(0, 11, 12, 1), row(1, 10, 12, 2)]);
    expect(batches).toEqual([2]);
    screen.paint();
    expect(batches).toEqual([2, 2]);
    // The spike is in the merged row.
    expect(store.get("a/t")?.latest).toMatchObject({ version: 12, since: 10, n: 2, last: 1, max: 99 });
    screen.paint();
    expect(batches).toEqual([2, 2]);
  });

  it("grants credits when the page has painted, and none while nobody looks", async () => {
    live.subscribe({ patterns: ["#"] });
    server.socket.welcome();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 0)]);
    for (let v = 0; v < 4; v++) server.socket.updates(1, [row(0, v, v + 1)]);
    await settled();
    const granted = () => server.socket.got("credit").map((c) => c.frames);
    expect(granted()).toEqual([4]);
    screen.show(false);
    screen.paint();
    expect(granted()).toEqual([4]);
    screen.show(true);
    screen.paint();
    await settled();
    expect(granted()).toEqual([4, 8]);
  });

  it("keeps no more for a page that shows nothing than its series are, however often they begin anew", () => {
    const got: string[] = [];
    live.subscribe(
      { patterns: ["#"] },
      {
        open: ({ series }) => series,
        change: (series) => got.push(`${series} named`),
        accept: (series, u) => got.push(`${series} ${u.since}-${u.version}`),
      },
    );
    server.socket.welcome();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 1)]);
    got.length = 0;
    for (let round = 1; round < 5; round++) {
      server.reconnect();
      server.socket.snapshot(round, ["a/t"], [row(0, -1, 10 * round)]);
    }
    screen.paint();
    expect(got).toEqual(["a/t named", "a/t -1-30", "a/t -1-40"]);
  });

  it("ends a chain that the next row does not follow, and begins another", () => {
    const got: string[] = [];
    live.subscribe(
      { patterns: ["#"] },
      {
        open: (e) => e.series,
        accept: (s, u) => got.push(`${s} (${u.since},${u.version}]`),
        reset: () => got.push("reset"),
      },
    );
    server.socket.welcome();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.updates(1, [row(0, 10, 12)]);
    server.socket.say("resync", { view: 1, reason: "x" });
    server.socket.snapshot(2, ["a/t"], [row(0, -1, 20)]);
    screen.paint();
    expect(got).toEqual(["a/t (-1,10]", "a/t (10,12]", "a/t (-1,20]"]);
    screen.paint();
    server.reconnect("e2");
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 2)]);
    screen.paint();
    expect(got.slice(3)).toEqual(["reset", "a/t (-1,2]"]);
  });

  it("tells of series that change, leave and go, and of alerts", () => {
    const { sink: store } = live.subscribe({ patterns: ["#"], filter: "last > 3" });
    const alerts: string[] = [];
    live.on("alert", (a) => alerts.push(a.id));
    server.socket.welcome();
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 10)]);
    screen.paint();
    server.socket.updates(1, [], { left: [1] });
    server.socket.say("series", { view: 1, changed: [{ i: 0, series: "a/t", unit: "K" }] });
    screen.paint();
    expect(store.list().map((s) => `${s.name} ${s.meta.unit}`)).toEqual(["a/t K"]);
    server.socket.say("series", { view: 1, removed: [0] });
    screen.paint();
    expect(store.get("a/t")).toBeUndefined();
    server.socket.say("series", { view: 1, removed: [1], added: [{ i: 2, series: "b/t", unit: "s" }] });
    server.socket.say("series", { view: 1, added: [{ i: 3, series: "c/t" }] });
    server.socket.say("series", { view: 1, removed: [3] });
    server.socket.updates(1, [row(2, -1, 20)]);
    screen.paint();
    expect([...store].map((s) => `${s.name} ${s.latest.version} ${s.meta.unit}`)).toEqual(["b/t 20 s"]);
    server.socket.say("alert", { id: "x", series: "a/t", phase: "firing", ts: 1, version: 1 });
    expect(alerts).toEqual(["x"]);
  });

  it("asks the page for credentials", async () => {
    start({ getToken: (reason) => `for ${reason}` });
    await settled();
    server.socket.onopen?.();
    expect(server.socket.last("auth")).toEqual({ token: "for first" });
    start({
      getToken: () => {
        throw Object.assign(new Error("signed out"), { name: "SignInNeeded" });
      },
    });
    await settled();
    expect(live.state).toEqual({ name: "unauthenticated", reason: "signed out" });
  });
});
