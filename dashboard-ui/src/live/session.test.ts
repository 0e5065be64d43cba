import { beforeEach, describe, expect, it } from "vitest";
import type { Update } from "../data/update";
import { FakeClock, FakeSocket, row } from "./fakes";
import type { AlertMessage, ErrorMessage } from "./protocol";
import { rateFor, Session, type SessionSink } from "./session";

class Recorder implements SessionSink<string> {
  readonly got: string[] = [];
  readonly open = (series: string) => series;
  accept(series: string, u: Readonly<Update>): void {
    this.got.push(`${series}@${u.version}`);
  }
  readonly welcome = () => {};
  readonly snapshot = () => {};
  readonly frame = () => {};
  readonly alerts: AlertMessage[] = [];
  alert(a: AlertMessage): void {
    this.alerts.push(a);
  }
  readonly problems: ErrorMessage[] = [];
  problem(e: ErrorMessage): void {
    this.problems.push(e);
  }
  readonly restricted: string[] = [];
  restrict(patterns: readonly string[]): void {
    this.restricted.push(patterns.join(" "));
  }
  expires = "";
  expiring(at: string): void {
    this.expires = at;
  }
  authenticated(): void {
    this.expires = "";
  }
}

let clock: FakeClock;
let socket: FakeSocket;
let sink: Recorder;
let session: Session<string>;

beforeEach(() => {
  clock = new FakeClock();
  sink = new Recorder();
  session = new Session("#", sink, {
    clock,
    random: () => 0,
    open: () => {
      socket = new FakeSocket();
      return socket;
    },
    onState: () => {},
  });
  session.connection.dial();
  socket.welcome();
});

const subscribes = () => socket.sent.filter((m) => m.type === "subscribe").length;

describe("subscription", () => {
  it("delivers the snapshot and the contiguous rows after it", () => {
    socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    socket.updates(1, row(0, 10, 12), row(0, 12, 15));
    expect(sink.got).toEqual(["a/t@10", "a/t@12", "a/t@15"]);
  });

  it("discards what it has seen", () => {
    socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    socket.updates(1, row(0, 4, 8), row(0, 10, 12));
    expect(sink.got).toEqual(["a/t@10", "a/t@12"]);
    expect(session.stats.replays).toBe(1);
  });

  it("begins a new series at no version", () => {
    socket.snapshot(1, []);
    socket.say("series", { view: 1, added: [{ i: 0, series: "b/t" }] });
    socket.updates(1, row(0, -1, 3));
    expect(sink.got).toEqual(["b/t@3"]);
  });

  it.each([
    ["a gap", row(0, 11, 12)],
    ["an overlap", row(0, 5, 12)],
    ["a series it was not told of", row(7, -1, 1)],
  ])("is made anew after %s", (_, broken) => {
    socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    socket.updates(1, broken);
    expect(session.subscribed).toBe(false);
    expect(socket.sent.at(-1)).toEqual({ type: "unsubscribe", payload: { id: "s1" } });
    clock.advance(250);
    expect(socket.subscription()).toBe("s2");
    socket.updates(1, row(0, 10, 12)); // still on its way from the old view
    socket.snapshot(2, ["a/t"], [row(0, -1, 14)]);
    expect(sink.got).toEqual(["a/t@10", "a/t@14"]);
    expect(session.stats).toMatchObject({ gaps: 1, resyncs: 1 });
  });

  it("is made anew later and later while that does not help, and at once again after calm", () => {
    const breakAt = (view: number) => {
      socket.snapshot(view, ["a/t"], [row(0, -1, 10)]);
      socket.updates(view, row(0, 20, 30));
    };
    breakAt(1);
    clock.advance(250);
    breakAt(2);
    clock.advance(499);
    expect(subscribes()).toBe(2);
    clock.advance(1);
    expect(subscribes()).toBe(3);
    for (let i = 0; i < 70; i++) {
      clock.advance(1000);
      socket.say("app_pong", {});
    }
    breakAt(3);
    clock.advance(250);
    expect(subscribes()).toBe(4);
  });

  it("takes the fresh snapshot that follows the server's resync", () => {
    socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    socket.say("resync", { view: 1, reason: "window" });
    socket.snapshot(2, ["a/t"], [row(0, -1, 90)]);
    socket.updates(2, row(0, 90, 91));
    expect(sink.got).toEqual(["a/t@10", "a/t@90", "a/t@91"]);
    expect(subscribes()).toBe(1);
  });

  it("is renewed after a reconnect, with the pattern of that time", () => {
    socket.onclose?.({ code: 1006, reason: "" });
    session.setPattern("b/#");
    clock.advance(0);
    socket.welcome();
    expect(socket.sent.filter((m) => m.type === "subscribe")).toMatchObject([
      { payload: { patterns: ["b/#"] } },
    ]);
  });

  it("ignores an answer to a subscription it has given up", () => {
    socket.say("subscribed", { id: "s0", view: 9, columns: [], dictionary: [], rows: [], push_ts: 0 });
    expect(session.subscribed).toBe(false);
  });

  it("asks for fewer rows when it has many series", () => {
    expect([rateFor(500), rateFor(1000), rateFor(10_000)]).toEqual([undefined, 5, 1]);
    socket.snapshot(
      1,
      Array.from({ length: 600 }, (_, i) => `d${i}/t`),
    );
    expect(socket.sent.at(-1)).toMatchObject({ type: "subscribe", payload: { id: "s2", max_hz: 5 } });
    socket.snapshot(
      2,
      Array.from({ length: 600 }, (_, i) => `d${i}/t`),
    );
    expect(subscribes()).toBe(2);
  });
});

describe("permission", () => {
  const patterns = () => socket.sent.filter((m) => m.type === "subscribe").at(-1)?.payload;
  const again = (read: string[]) => {
    socket.onclose?.({ code: 1006, reason: "" });
    clock.advance(0);
    socket.welcome("e1", read);
  };

  it("narrows the subscription to what may be read", () => {
    again(["plant1/#", "plant2/+/t"]);
    expect(patterns()).toMatchObject({ patterns: ["plant1/#", "plant2/+/t"] });
    session.setPattern("+/press7/t");
    expect(patterns()).toMatchObject({ patterns: ["plant1/press7/t", "plant2/press7/t"] });
    expect(sink.restricted).toEqual(["plant1/# plant2/+/t", "plant1/press7/t plant2/press7/t"]);
  });

  it("of nothing subscribes to nothing, and says so", () => {
    again(["plant1/#"]);
    session.setPattern("plant3/#");
    expect(session.permitted).toBe(false);
    expect(socket.sent.at(-1)).toMatchObject({ type: "unsubscribe" });
    session.setPattern("#");
    expect(session.permitted).toBe(true);
    expect(patterns()).toMatchObject({ patterns: ["plant1/#"] });
  });

  it("that changes with new credentials changes the subscription", () => {
    again(["plant1/#"]);
    const before = subscribes();
    socket.say("token_expiring", { expires_at: "2026-01-01T00:00:00Z" });
    expect(sink.expires).toBe("2026-01-01T00:00:00Z");
    socket.say("authenticated", { subject: "a", roles: [], read: ["plant1/#"] });
    expect([subscribes(), sink.expires]).toEqual([before, ""]);
    socket.say("error", { code: "forbidden", message: "m", id: socket.subscription() });
    socket.say("authenticated", { subject: "a", roles: [], read: ["plant1/a/#"] });
    expect(patterns()).toMatchObject({ patterns: ["plant1/a/#"] });
    expect(socket.sent.filter((m) => m.type === "unsubscribe")).toHaveLength(0);
  });

  it("for more patterns than a subscription holds is used as far as that goes", () => {
    again(Array.from({ length: 70 }, (_, i) => `p${i}/#`));
    expect(patterns()?.patterns).toHaveLength(64);
    expect(sink.problems).toMatchObject([{ code: "patterns_too_many" }]);
  });
});
