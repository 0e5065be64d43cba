import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { LiveClient } from "./client.ts";
import { alert, FakeServer, row } from "./fakes.ts";
import type { DictionaryEntry, Row } from "./protocol.ts";
import type { SubscribeOptions, Subscription } from "./subscription.ts";
import type { Update } from "./update.ts";
import type { SeriesSink } from "./view.ts";

class Recorder implements SeriesSink<string> {
  readonly got: string[] = [];
  open(entry: DictionaryEntry): string {
    return entry.series;
  }
  accept(series: string, u: Readonly<Update>): void {
    this.got.push(`${series} (${u.since},${u.version}] n${u.n}`);
  }
  change(series: string, entry: DictionaryEntry): void {
    this.got.push(`${series} in ${entry.unit}`);
  }
  enter(series: string): void {
    this.got.push(`${series} in again`);
  }
  leave(series: string): void {
    this.got.push(`${series} left`);
  }
  remove(series: string): void {
    this.got.push(`${series} gone`);
  }
  reset(): void {
    this.got.push("reset");
  }
}

let server: FakeServer;
let client: LiveClient;
let sink: Recorder;
let sub: Subscription<string>;
let resyncs: string[];

function subscribe(options: Partial<SubscribeOptions> = {}): void {
  server = new FakeServer();
  client = server.client();
  sink = new Recorder();
  sub = client.subscribe({ patterns: ["#"], ...options }, sink);
  resyncs = [];
  sub.on("resync", ({ reason }) => resyncs.push(reason));
  client.connect();
  server.socket.welcome();
}

beforeEach(() => subscribe());

const asked = () => server.socket.got("subscribe").length;

describe("subscription", () => {
  it("asks for what its options say, and leaves the rest to the server", () => {
    expect(server.socket.last("subscribe")).toEqual({ id: "s1", patterns: ["#"] });
    subscribe({
      maxHz: 5,
      fields: ["last"],
      filter: "last > 3",
      order: "worst",
      limit: 9,
      points: 60,
      windowMs: 1000,
    });
    expect(server.socket.last("subscribe")).toEqual({
      id: "s1",
      patterns: ["#"],
      max_hz: 5,
      fields: ["last"],
      filter: "last > 3",
      order: "worst",
      limit: 9,
      points: 60,
      window_ms: 1000,
    });
  });

  it("delivers the snapshot and the contiguous rows after it", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.updates(1, [row(0, 10, 12)]);
    server.socket.updates(1, [row(0, 12, 15)]);
    expect(sink.got).toEqual(["a/t (-1,10] n1", "a/t (10,12] n1", "a/t (12,15] n1"]);
    expect(sub.counts).toMatchObject({ frames: 2, rows: 3, readings: 3, gaps: 0 });
  });

  it("discards what it has seen", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.updates(1, [row(0, 4, 8)]);
    server.socket.updates(1, [row(0, 10, 12)]);
    expect(sink.got).toEqual(["a/t (-1,10] n1", "a/t in again", "a/t (10,12] n1"]);
    expect(sub.counts.replays).toBe(1);
  });

  it("follows the dictionary: series that come, change and go", () => {
    server.socket.snapshot(1, []);
    server.socket.say("series", { view: 1, added: [{ i: 0, series: "b/t" }] });
    server.socket.updates(1, [row(0, -1, 3)]);
    server.socket.say("series", { view: 1, changed: [{ i: 0, series: "b/t", unit: "°C" }] });
    server.socket.say("series", { view: 1, removed: [0] });
    expect(sink.got).toEqual(["b/t (-1,3] n1", "b/t in °C", "b/t gone"]);
  });

  it("lets a series that is gone come back under another index", () => {
    const { sink: store, counts } = client.subscribe({ patterns: ["a/#"] });
    server.socket.snapshot(7, ["a/t", "a/u"], [row(0, -1, 10), row(1, -1, 10)]);
    server.socket.say("series", { view: 7, removed: [0, 9], added: [{ i: 2, series: "a/t" }] });
    server.socket.updates(7, [row(2, -1, 3), row(1, 10, 11)]);
    server.socket.updates(7, [row(2, 3, 4)]);
    expect([...store].map((s) => `${s.name} ${s.latest.version} ${s.rows}`)).toEqual(["a/u 11 2", "a/t 4 2"]);
    expect(counts.gaps).toBe(0);
  });

  it.each([
    ["a gap", row(0, 20, 30)],
    ["an overlap", row(0, 5, 30)],
    ["a series it was not told of", row(7, -1, 1)],
  ])("is asked for from the newest cursor on after %s, and anew if that does not help", (_, broken) => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)], { cursor: "c1" });
    server.socket.updates(1, [row(0, 10, 11)], { cursor: "c2" });
    const taken = sink.got.length;
    const breakAt = (view: number) => server.socket.updates(view, [broken], { cursor: "c9" });
    breakAt(1);
    expect(sub.state).toBe("idle");
    expect(server.socket.sent.at(-1)).toEqual({ type: "unsubscribe", payload: { id: "s1" } });
    server.clock.advance(250);
    expect(server.socket.last("subscribe")).toEqual({ id: "s2", patterns: ["#"], cursor: "c2" });
    server.socket.updates(1, [row(0, 11, 12)]); // still on its way from the old view
    server.socket.snapshot(2, ["a/t"], [], { resumed: true, cursor: "c2" });
    expect(sub.counts).toMatchObject({ gaps: 1, resyncs: 0, resumes: 1 });
    breakAt(2);
    expect(resyncs).toEqual(["gap"]);
    server.clock.advance(500);
    expect(server.socket.last("subscribe")).toEqual({ id: "s3", patterns: ["#"] });
    server.socket.snapshot(3, ["a/t"], [row(0, -1, 14)], { cursor: "c3" });
    expect(sink.got.slice(taken)).toEqual(["a/t (-1,14] n1"]);
    expect(sub.counts).toMatchObject({ gaps: 2, resyncs: 1 });
    breakAt(3);
    server.clock.advance(1000);
    expect(server.socket.last("subscribe").cursor).toBe("c3");
  });

  it("takes nothing of a frame that does not follow, so that all of it comes again, and alerts too", () => {
    const alerts: string[] = [];
    client.alerts.on("transition", (a) => alerts.push(`${a.id} ${a.phase}`));
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 10)], { cursor: "c1" });
    server.socket.updates(1, [row(0, 10, 12), row(1, 11, 12)], { cursor: "c2" });
    server.clock.advance(250);
    expect(server.socket.last("subscribe").cursor).toBe("c1");
    const missed = [alert("x", 1), alert("x", 2, { phase: "resolved" })];
    const rows = [row(0, 10, 12), row(1, 10, 13)];
    server.socket.snapshot(2, ["a/t", "b/t"], rows, { resumed: true, alerts: missed, cursor: "c3" });
    expect(sink.got.slice(2)).toEqual(["a/t (10,12] n1", "b/t (10,13] n1"]);
    expect(alerts).toEqual(["x firing", "x resolved"]);
    expect([resyncs, sub.state]).toEqual([[], "live"]);
  });

  it("is made anew later and later while that does not help, and at once again after calm", () => {
    const breakAt = (view: number) => {
      server.socket.snapshot(view, ["a/t"], [row(0, -1, 10)]);
      server.socket.updates(view, [row(0, 20, 30)]);
    };
    breakAt(1);
    server.clock.advance(250);
    breakAt(2);
    server.clock.advance(499);
    expect(asked()).toBe(2);
    server.clock.advance(1);
    expect(asked()).toBe(3);
    for (let i = 0; i < 70; i++) {
      server.clock.advance(1000);
      server.socket.say("app_pong", {});
    }
    breakAt(3);
    server.clock.advance(250);
    expect(asked()).toBe(4);
  });

  it("takes the fresh snapshot that follows the server's resync", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.say("resync", { view: 1, reason: "window" });
    server.socket.snapshot(2, ["a/t"], [row(0, -1, 90)]);
    server.socket.updates(2, [row(0, 90, 91)]);
    expect(sink.got).toEqual(["a/t (-1,10] n1", "a/t (-1,90] n1", "a/t (90,91] n1"]);
    expect([asked(), resyncs]).toEqual([1, ["window"]]);
  });

  it("ignores an answer to a subscription it has given up", () => {
    sub.change({ patterns: ["b/#"] });
    expect(server.socket.last("subscribe")).toMatchObject({ id: "s2", patterns: ["b/#"] });
    server.socket.say("subscribed", { id: "s1", view: 9, columns: [], dictionary: [], rows: [], push_ts: 0 });
    expect(sub.state).toBe("asked");
  });

  it("may be changed by whoever is told of its snapshot", () => {
    sub.on("subscribed", () => sub.size > 1 && sub.change({ maxHz: 1 }));
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10)]);
    expect(server.socket.last("subscribe")).toMatchObject({ id: "s2", max_hz: 1 });
    server.socket.snapshot(2, ["a/t"], [row(0, -1, 11)]);
    expect([sub.state, sub.counts.gaps]).toEqual(["live", 0]);
  });

  it("of no patterns asks for nothing", () => {
    sub.change({ patterns: [] });
    expect([sub.state, asked()]).toEqual(["idle", 1]);
  });

  it("that was refused is asked for again with other credentials", () => {
    const told: string[] = [];
    sub.on("error", (e) => told.push(e.code));
    server.socket.say("error", { code: "forbidden", message: "m", id: "s1" });
    expect([sub.state, told]).toEqual(["refused", ["forbidden"]]);
    server.socket.say("authenticated", { subject: "a", roles: [] });
    expect([sub.state, asked()]).toEqual(["asked", 2]);
    server.socket.say("authenticated", { subject: "a", roles: [] });
    expect(asked()).toBe(2);
  });

  it("that the server dropped is asked for again after a while", () => {
    const told: string[] = [];
    sub.on("error", ({ code }) => told.push(code));
    server.socket.say("error", { code: "overloaded", message: "m", id: server.socket.last("subscribe").id });
    server.pass(1_900);
    expect(server.socket.got("subscribe")).toHaveLength(1);
    server.pass(100);
    expect(server.socket.got("subscribe")).toHaveLength(2);
    server.socket.snapshot(3, ["a/t"]);
    expect(sub.state).toBe("live");
    expect(told).toEqual([]);
  });

  it("that has ended is not asked for again", () => {
    sub.unsubscribe();
    server.reconnect();
    expect(asked()).toBe(0);
  });

  it("waits for a version, or for the time that one is ready to wait", async () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    expect(await sub.waitFor("a/t", 9, 1)).toBe(10);
    const later = sub.waitFor("a/t", 12, 1000);
    const never = sub.waitFor("a/t", 13, 300);
    server.socket.updates(1, [row(0, 10, 12)]);
    expect(await later).toBe(12);
    server.clock.advance(300);
    await expect(never).rejects.toThrow("has not reached version 13 within 300 ms");
  });
});

describe("resume", () => {
  it("asks from the newest cursor on, and takes what was missed", () => {
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 20)], { cursor: "c1" });
    server.socket.updates(1, [row(0, 10, 12)], { cursor: "c2" });
    server.reconnect();
    expect(server.socket.last("subscribe")).toMatchObject({ cursor: "c2" });
    sink.got.length = 0;
    // The view is another one, and so is its dictionary.
    server.socket.snapshot(5, ["b/t", "a/t"], [row(1, 12, 30)], { resumed: true, cursor: "c3" });
    server.socket.updates(5, [row(0, 20, 31), row(1, 30, 32)]);
    expect(sink.got).toEqual(["a/t (12,30] n1", "b/t (20,31] n1", "a/t (30,32] n1"]);
    expect(sub.counts).toMatchObject({ resumes: 1, resyncs: 0, gaps: 0 });
  });

  it("goes on from the cursor's versions, where frames after it left something pending", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)], { cursor: "c1" });
    server.socket.updates(1, [row(0, 10, 15)]);
    server.socket.updates(1, [row(0, 15, 16)]);
    server.reconnect();
    expect(server.socket.last("subscribe").cursor).toBe("c1");
    server.socket.snapshot(2, ["a/t"], [row(0, 10, 30)], { resumed: true });
    expect(sub.counts.gaps).toBe(0);
    expect(sink.got.at(-1)).toBe("a/t (10,30] n1");
  });

  it("knows nothing of a series that went and came back", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect();
    server.socket.snapshot(2, ["a/t"], [], { resumed: true });
    server.socket.say("series", { view: 2, removed: [0] });
    server.socket.say("series", { view: 2, added: [{ i: 1, series: "a/t" }] });
    server.socket.updates(2, [row(1, -1, 30)]);
    expect(sink.got.slice(1)).toEqual(["a/t gone", "a/t (-1,30] n1"]);
  });

  it("that does not join up is a break", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect();
    server.socket.snapshot(2, ["a/t"], [row(0, 12, 30)], { resumed: true, cursor: "d" });
    expect([sub.state, sub.counts.gaps, resyncs]).toEqual(["idle", 1, ["gap"]]);
    server.clock.advance(250);
    expect(server.socket.last("subscribe").cursor).toBeUndefined();
  });

  it("that the server cannot give is told of, once", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect();
    server.socket.say("resync", { id: server.socket.last("subscribe").id, reason: "cursor_too_old" });
    server.socket.snapshot(2, ["a/t"], [row(0, -1, 90)]);
    expect(resyncs).toEqual(["cursor_too_old"]);
    server.reconnect();
    server.socket.snapshot(2, ["b/t"], []);
    expect(resyncs).toEqual(["cursor_too_old", "no catch-up"]);
    expect(sink.got.at(-1)).toBe("a/t gone");
  });

  it("is not asked of another epoch, whose versions begin anew", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect("e2");
    expect(server.socket.last("subscribe").cursor).toBeUndefined();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 3)]);
    expect(sink.got).toEqual(["a/t (-1,10] n1", "reset", "a/t (-1,3] n1"]);
  });

  it("holds with any cuts: each version is covered once, or again after a cut", () => {
    const frame = fc.record({
      step: fc.integer({ min: 1, max: 9 }),
      cursor: fc.boolean(),
      cut: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        subscribe();
        let version = 0;
        let atCursor = 0;
        let view = 1;
        server.socket.snapshot(view, ["a/t"], [row(0, -1, 0)], { cursor: "0" });
        for (const { step, cursor, cut } of frames) {
          if (cut) {
            server.reconnect();
            expect(server.socket.last("subscribe").cursor).toBe(String(atCursor));
            const missed: Row[] = version > atCursor || step > 5 ? [row(0, atCursor, version + step)] : [];
            if (missed.length > 0) version += step;
            atCursor = version;
            server.socket.snapshot(++view, ["a/t"], missed, { resumed: true, cursor: String(version) });
          } else {
            server.socket.updates(
              view,
              [row(0, version, version + step)],
              cursor ? { cursor: String(version + step) } : {},
            );
            version += step;
            if (cursor) atCursor = version;
          }
          expect(sub.counts.gaps).toBe(0);
        }
        expect(sub.state).toBe("live");
      }),
      { numRuns: 60 },
    );
  });
});

describe("a view with filter or limit", () => {
  beforeEach(() => subscribe({ filter: "last > 3" }));

  it("begins a chain where its first row does, and keeps it from then on", () => {
    server.socket.snapshot(1, [], []);
    server.socket.say("series", { view: 1, added: [{ i: 40, series: "a/t" }] });
    server.socket.updates(1, [row(40, 500, 510)]);
    server.socket.updates(1, [], { left: [40] });
    server.socket.updates(1, [row(40, 510, 600)]);
    expect(sink.got).toEqual(["a/t (500,510] n1", "a/t left", "a/t (510,600] n1"]);
    server.socket.updates(1, [row(40, 601, 602)]);
    expect(sub.counts.gaps).toBe(1);
  });

  it("goes on after a reconnect, also for series that the new view names later", () => {
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 20)], { cursor: "c" });
    server.reconnect();
    server.socket.snapshot(2, ["a/t"], [], { resumed: true, left: [0], cursor: "d" });
    server.socket.say("series", { view: 2, added: [{ i: 9, series: "b/t" }] });
    server.socket.updates(2, [row(9, 21, 30)]);
    expect(sub.counts.gaps).toBe(1);
    server.clock.advance(250);
    server.socket.snapshot(3, ["b/t"], [row(0, -1, 30)]);
    expect(sink.got.slice(2)).toEqual(["a/t left", "b/t (-1,30] n1", "a/t left"]);
  });
});

describe("a view with a limit", () => {
  it("tells of a series that comes in again though nothing has happened to it", () => {
    subscribe({ limit: 1 });
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.updates(1, [], { left: [0] });
    server.socket.updates(1, [row(0, -1, 10)]);
    expect(sink.got.slice(1)).toEqual(["a/t left", "a/t in again"]);
  });

  it("parts with series that a fresh snapshot names and has no row of", () => {
    subscribe({ limit: 1 });
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect();
    server.socket.snapshot(2, ["a/t", "b/t"], [row(1, -1, 10)]);
    expect(sink.got.slice(1)).toEqual(["b/t (-1,10] n1", "a/t left"]);
  });
});

describe("two subscriptions", () => {
  it("get each the frames of their view", () => {
    const other = new Recorder();
    client.subscribe({ patterns: ["b/#"] }, other);
    server.socket.snapshot(2, ["b/t"], [row(0, -1, 1)]);
    server.socket.updates(2, [row(0, 1, 2)]);
    server.socket.updates(1, [row(0, 1, 2)]);
    expect(sink.got).toEqual([]);
    expect(other.got).toHaveLength(2);
  });
});
