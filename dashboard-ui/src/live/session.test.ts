import type { AlertMessage, ErrorMessage, Update } from "@weir/live";
import { beforeEach, describe, expect, it } from "vitest";
import { alert, FakeServer, row } from "../../../sdk/ts/src/fakes";
import { rateFor, Session, type SessionSink } from "./session";

class Recorder implements SessionSink<string> {
  readonly got: string[] = [];
  readonly open = (series: string) => series;
  accept(series: string, u: Readonly<Update>): void {
    this.got.push(`${series}@${u.version}`);
  }
  remove(series: string): void {
    this.got.push(`${series} gone`);
  }
  resync(reason: string): void {
    this.got.push(reason);
  }
  readonly welcome = () => {};
  readonly snapshots: string[][] = [];
  snapshot(open: readonly AlertMessage[]): void {
    this.snapshots.push(open.map((a) => a.id));
  }
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

let server: FakeServer;
let sink: Recorder;
let session: Session<string>;

beforeEach(() => {
  server = new FakeServer();
  sink = new Recorder();
  session = new Session("#", sink, {
    clock: server.clock,
    screen: server.screen,
    random: () => 0,
    open: () => server.open(),
    onState: () => {},
  });
  session.connect();
  server.socket.welcome();
});

const subscribes = () => server.socket.got("subscribe").length;

describe("subscription", () => {
  it("delivers the snapshot, the rows after it and alerts", () => {
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.socket.updates(1, [row(0, 10, 12)]);
    server.socket.say("alert", alert("x", 11));
    expect(sink.got).toEqual(["a/t@10", "a/t@12"]);
    expect(sink.alerts.map((a) => a.id)).toEqual(["x"]);
    expect(session.subscribed).toBe(true);
  });

  it("tells of series that are gone, and of what cannot be told", () => {
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 10)]);
    server.socket.say("series", { view: 1, removed: [1] });
    server.socket.say("resync", { view: 1, reason: "cursor_too_old" });
    server.socket.snapshot(1, [], []);
    expect(sink.got.slice(2)).toEqual(["b/t gone", "cursor_too_old", "a/t gone"]);
  });

  it("asks what the server counts, and does without an answer", async () => {
    const asked = session.figures();
    server.socket.say("stats", { rtt_ms: 2, subscriptions: [] });
    expect((await asked)?.rtt_ms).toBe(2);
    server.socket.lose();
    expect(await session.figures()).toBeNull();
  });

  it("takes all open alerts from a snapshot, and transitions from what was missed", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3)] });
    server.reconnect();
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 5)], resumed: true });
    expect(sink.snapshots).toEqual([["x"]]);
    expect(sink.alerts.map((a) => a.version)).toEqual([3, 5]);
  });

  it("is renewed after a reconnect, with the pattern of that time", () => {
    server.socket.lose();
    session.setPattern("b/#");
    server.clock.advance(0);
    server.socket.welcome();
    expect(server.socket.got("subscribe")).toMatchObject([{ patterns: ["b/#"] }]);
  });

  it("asks for fewer rows when it has many series", () => {
    const many = Array.from({ length: 600 }, (_, i) => `d${i}/t`);
    expect([rateFor(500), rateFor(1000), rateFor(10_000)]).toEqual([undefined, 5, 1]);
    server.socket.snapshot(1, many);
    expect(server.socket.last("subscribe")).toMatchObject({ id: "s2", max_hz: 5 });
    server.socket.snapshot(2, many);
    expect(subscribes()).toBe(2);
  });
});

describe("permission", () => {
  const patterns = () => server.socket.got("subscribe").at(-1);
  const again = (read: string[]) => {
    server.socket.lose();
    server.clock.advance(0);
    server.socket.welcome({ read });
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
    expect(server.socket.sent.at(-1)).toMatchObject({ type: "unsubscribe" });
    session.setPattern("#");
    expect(session.permitted).toBe(true);
    expect(patterns()).toMatchObject({ patterns: ["plant1/#"] });
  });

  it("that changes with new credentials changes the subscription", () => {
    again(["plant1/#"]);
    const before = subscribes();
    server.socket.say("token_expiring", { expires_at: "2026-01-01T00:00:00Z" });
    expect(sink.expires).toBe("2026-01-01T00:00:00Z");
    server.socket.say("authenticated", { subject: "a", roles: [], read: ["plant1/#"] });
    expect([subscribes(), sink.expires]).toEqual([before, ""]);
    server.socket.say("error", { code: "forbidden", message: "m", id: server.socket.last("subscribe").id });
    server.socket.say("authenticated", { subject: "a", roles: [], read: ["plant1/a/#"] });
    expect(patterns()).toMatchObject({ patterns: ["plant1/a/#"] });
    expect(server.socket.got("unsubscribe")).toHaveLength(0);
  });

  it("for more patterns than a subscription holds is used as far as that goes", () => {
    again(Array.from({ length: 70 }, (_, i) => `p${i}/#`));
    expect(patterns()?.patterns).toHaveLength(64);
    expect(sink.problems).toMatchObject([{ code: "patterns_too_many" }]);
  });
});
