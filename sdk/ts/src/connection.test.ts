import { beforeEach, describe, expect, it } from "vitest";
import type { LiveClient, LiveOptions } from "./client.ts";
import { Connection } from "./connection.ts";
import { FakeServer, FakeSocket, settled } from "./fakes.ts";
import { SignInNeeded } from "./tokens.ts";

let server: FakeServer;
let client: LiveClient;
const names: string[] = [];

function connect(options: Partial<LiveOptions> = {}): void {
  server = new FakeServer();
  names.length = 0;
  client = server.client(options);
  client.on("state", (s) => names.push(s.name));
  client.connect();
}

beforeEach(() => connect());

describe("connection", () => {
  it("measures the round trip by its pings", () => {
    server.socket.welcome();
    server.clock.advance(40);
    server.socket.say("app_pong", server.socket.last("app_ping"));
    expect(client.connection.roundTrip).toBe(40);
  });

  it("answers the server's pings with their payload", () => {
    server.socket.welcome();
    server.socket.say("app_ping", { t: 77 });
    expect(server.socket.got("app_pong")).toEqual([{ t: 77 }]);
  });

  it("turns stale in silence, and is given up and dialled again after two silent heartbeats", () => {
    server.socket.welcome();
    server.clock.advance(1500);
    expect(client.state.name).toBe("stale");
    server.clock.advance(499);
    expect(client.state.name).toBe("stale");
    server.clock.advance(1);
    expect(client.state.name).toBe("reconnecting");
    expect(server.socket.closedWith).toBe(4003);
    server.clock.advance(250);
    expect(server.sockets).toHaveLength(2);
  });

  it("stays live as long as anything arrives", () => {
    server.socket.welcome();
    for (let i = 0; i < 20; i++) {
      server.clock.advance(900);
      server.socket.say("app_pong", {});
    }
    expect(names).toEqual(["connecting", "live"]);
  });

  it("gives up dialling a server that says nothing", () => {
    server.clock.advance(10_000);
    expect(client.state.name).toBe("reconnecting");
  });

  it("waits as long as a draining server asks", () => {
    server.socket.welcome();
    server.socket.say("draining", { reconnect_after_ms: 3000, jitter_ms: 1000 });
    server.socket.lose(1001, "draining");
    server.clock.advance(3499);
    expect(server.sockets).toHaveLength(1);
    server.clock.advance(1);
    expect(server.sockets).toHaveLength(2);
  });

  it("comes back later and later, spread out, until maxRetries", () => {
    connect({ maxRetries: 4, random: () => 0.999 });
    server.down = true;
    server.socket.lose();
    const dialled: number[] = [];
    for (let ms = 0; ms < 60_000; ms += 10) {
      if (server.sockets.length > dialled.length + 1) dialled.push(ms);
      server.clock.advance(10);
    }
    expect(dialled.map((at, i) => Math.round((at - (dialled[i - 1] ?? 0)) / 100))).toEqual([5, 10, 20, 40]);
    expect(client.state).toMatchObject({ name: "refused", code: 0, reason: "gave_up" });
  });

  it("does not come back when refused, but does when a person asks", () => {
    server.socket.lose(1008, "origin_refused");
    server.clock.advance(60_000);
    expect(server.sockets).toHaveLength(1);
    client.connect();
    expect(server.sockets).toHaveLength(2);
  });

  it("stays away after it was closed from here, until it is dialled", () => {
    server.socket.welcome();
    client.close();
    expect(server.socket.closedWith).toBe(1000);
    server.socket.lose(1000, "normal");
    server.clock.advance(60_000);
    expect(names).toEqual(["connecting", "live", "idle"]);
    client.connect();
    expect(server.sockets).toHaveLength(2);
  });

  it.each(["{", "[]", '{"type":"updates","payload":{"view":"x"}}', '{"type":"welcome","payload":7}'])(
    "closes on %s, which is not of the protocol, and dials again",
    (frame) => {
      server.socket.welcome();
      server.socket.onmessage?.({ data: frame });
      expect(server.socket.closedWith).toBe(4200);
      expect(client.state.name).toBe("reconnecting");
      expect(client.counts.protocolErrors).toBe(1);
    },
  );

  it("passes over what a later server says", () => {
    server.socket.welcome();
    server.socket.say("novelty", { a: 1 });
    expect(client.state.name).toBe("live");
  });

  it("ignores a socket it has given up", () => {
    const old = server.socket;
    old.lose();
    server.clock.advance(1000);
    old.welcome();
    expect(client.state.name).toBe("connecting");
  });

  it("dials once however often it is asked", () => {
    client.connect();
    client.connect();
    expect(server.sockets).toHaveLength(1);
  });

  it("dials at once when somebody looks again", () => {
    server.socket.lose();
    server.screen.show(true);
    expect(server.sockets).toHaveLength(2);
  });

  it("says when it is ready, or why it will not be", async () => {
    const ready = client.ready();
    server.socket.welcome();
    await ready;
    server.socket.lose(4201, "unsupported_protocol");
    await expect(client.ready()).rejects.toThrow("unsupported_protocol");
  });
});

describe("credentials", () => {
  const reasons: string[] = [];
  const tokens = (answer: (n: number) => string | null) => {
    reasons.length = 0;
    connect({
      getToken: (reason) => {
        reasons.push(reason);
        return answer(reasons.length);
      },
    });
  };

  it("are the first message", async () => {
    tokens((n) => `t${n}`);
    await settled();
    server.socket.onopen?.();
    expect(server.socket.sent).toEqual([{ type: "auth", payload: { token: "t1" } }]);
  });

  it("are renewed over the open connection before they end", async () => {
    tokens((n) => `t${n}`);
    await settled();
    server.socket.onopen?.();
    server.socket.welcome();
    server.socket.say("token_expiring", { expires_at: "2026-01-01T00:00:00Z" });
    await settled();
    expect(server.socket.got("auth")).toEqual([{ token: "t1" }, { token: "t2" }]);
    expect(reasons).toEqual(["first", "expiring"]);
  });

  it.each([
    [4100, "token_expired"],
    [4101, "token_revoked"],
    [1008, "token_invalid"],
    [4142, "of a later server"],
  ])("are asked for anew after %i %s, once", async (code, reason) => {
    tokens((n) => `t${n}`);
    await settled();
    server.socket.lose(code, reason);
    server.clock.advance(500);
    await settled();
    expect(reasons).toEqual(["first", "refused"]);
    server.socket.lose(code, reason);
    expect(client.state).toEqual({ name: "unauthenticated", reason });
  });

  it("that were refused once may be refused again later", async () => {
    tokens((n) => `t${n}`);
    for (let i = 0; i < 3; i++) {
      await settled();
      server.socket.welcome();
      server.clock.advance(100);
      server.socket.lose(4100, "token_expired");
      expect(client.state.name).toBe("reconnecting");
      server.clock.advance(15_000);
    }
  });

  it("that cannot be had for the moment are asked for again", async () => {
    tokens((n) => {
      if (n < 3) throw new Error("offline");
      return "t";
    });
    for (let i = 0; i < 3; i++) {
      await settled();
      server.clock.advance(2000);
    }
    expect(server.sockets).toHaveLength(1);
  });

  it("that only a person can give are waited for", async () => {
    tokens(() => {
      throw new SignInNeeded("signed out");
    });
    await settled();
    expect(client.state).toEqual({ name: "unauthenticated", reason: "signed out" });
  });

  it("that come after the connection was closed open nothing", async () => {
    tokens((n) => `t${n}`);
    client.close();
    await settled();
    expect(server.sockets).toHaveLength(0);
  });

  it("without anybody to ask lead to signing in", () => {
    server.socket.lose(1008, "unauthenticated");
    expect(client.state).toEqual({ name: "unauthenticated", reason: "unauthenticated" });
  });
});

describe("transports", () => {
  const opened: string[] = [];
  let fake: FakeServer;
  let socket: FakeSocket;
  let connection: Connection;
  const fail = () => {
    socket.lose();
    fake.clock.advance(0);
  };

  beforeEach(() => {
    opened.length = 0;
    fake = new FakeServer();
    const way = (name: string) => ({
      name,
      open: () => {
        opened.push(name);
        socket = new FakeSocket();
        return socket;
      },
    });
    connection = new Connection({
      transports: [way("websocket"), way("sse")],
      clock: fake.clock,
      random: () => 0,
      onState: () => {},
      onMessage: () => {},
    });
    connection.dial();
    for (let i = 0; i < 3; i++) fail();
    socket.welcome();
    expect(connection.transport).toBe("sse");
  });

  it("are changed when one does not open three times in a row, and the first is tried once when the other is lost", () => {
    fail();
    fail();
    expect(opened).toEqual(["websocket", "websocket", "websocket", "sse", "websocket", "sse"]);
  });

  it("change back after a while, for the server may have been away; later and later while that fails", () => {
    const live = (ms: number) => {
      for (let t = 0; t < ms; t += 500) {
        socket.say("app_pong", {});
        fake.clock.advance(500);
      }
    };
    live(60_000);
    expect(connection.transport).toBe("websocket");
    fail();
    socket.welcome();
    live(119_500);
    expect(connection.transport).toBe("sse");
    live(500);
    expect(connection.transport).toBe("websocket");
    socket.welcome();
    live(300_000);
    expect(opened.slice(3)).toEqual(["sse", "websocket", "sse", "websocket"]);
  });
});
