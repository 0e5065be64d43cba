import { beforeEach, describe, expect, it } from "vitest";
import { Connection } from "./connection";
import { FakeClock, FakeSocket } from "./fakes";

let clock: FakeClock;
let sockets: FakeSocket[];
let connection: Connection;
const names: string[] = [];
const socket = () => sockets.at(-1) as FakeSocket;

beforeEach(() => {
  clock = new FakeClock();
  sockets = [];
  names.length = 0;
  connection = new Connection({
    clock,
    random: () => 0.5,
    open: () => {
      sockets.push(new FakeSocket());
      return socket();
    },
    onState: (s) => names.push(s.name),
    onMessage: () => {},
  });
  connection.dial();
});

describe("connection", () => {
  it("measures the round trip by its pings", () => {
    socket().welcome();
    const ping = socket().sent.find((m) => m.type === "app_ping");
    clock.advance(40);
    socket().say("app_pong", ping?.payload ?? {});
    expect(connection.roundTrip).toBe(40);
  });

  it("turns stale in silence and gives a dead server up", () => {
    socket().welcome();
    clock.advance(2100);
    expect(connection.state.name).toBe("stale");
    clock.advance(2500);
    expect(connection.state.name).toBe("reconnecting");
    expect(sockets[0]?.closedWith).toBe(4003);
    clock.advance(300);
    expect(sockets).toHaveLength(2);
  });

  it("stays live as long as anything arrives", () => {
    socket().welcome();
    for (let i = 0; i < 20; i++) {
      clock.advance(1000);
      socket().say("app_pong", {});
    }
    expect(names).toEqual(["connecting", "live"]);
  });

  it("gives up dialling a server that says nothing", () => {
    clock.advance(10_000);
    expect(connection.state.name).toBe("reconnecting");
  });

  it("waits as long as a draining server asks", () => {
    socket().welcome();
    socket().say("draining", { reconnect_after_ms: 3000, jitter_ms: 1000 });
    socket().onclose?.({ code: 1001, reason: "draining" });
    clock.advance(3499);
    expect(sockets).toHaveLength(1);
    clock.advance(1);
    expect(sockets).toHaveLength(2);
  });

  it("does not come back when refused, but does when a person asks", () => {
    socket().onclose?.({ code: 1008, reason: "origin_refused" });
    clock.advance(60_000);
    expect(sockets).toHaveLength(1);
    connection.dial();
    expect(sockets).toHaveLength(2);
  });

  it("stays away after it was closed from here, until it is dialled", () => {
    socket().welcome();
    connection.close();
    expect(socket().closedWith).toBe(1000);
    socket().onclose?.({ code: 1000, reason: "normal" });
    clock.advance(60_000);
    expect(names.at(-1)).toBe("connecting");
    expect(sockets).toHaveLength(1);
    connection.dial();
    expect(sockets).toHaveLength(2);
  });

  it("closes on a frame that is not of the protocol, and dials again", () => {
    socket().welcome();
    socket().onmessage?.({ data: "{" });
    expect(socket().closedWith).toBe(4200);
    expect(connection.state.name).toBe("reconnecting");
  });

  it("ignores a socket it has given up", () => {
    const old = socket();
    old.onclose?.({ code: 1006, reason: "" });
    clock.advance(1000);
    old.welcome();
    expect(connection.state.name).toBe("connecting");
  });

  it("dials once however often it is asked", () => {
    connection.dial();
    connection.dial();
    expect(sockets).toHaveLength(1);
  });
});
