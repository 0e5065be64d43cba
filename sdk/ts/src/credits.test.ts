import { beforeEach, describe, expect, it } from "vitest";
import type { LiveClient } from "./client.ts";
import { FakeServer, row } from "./fakes.ts";

let server: FakeServer;
let client: LiveClient;
let version: number;
const granted = () => server.socket.got("credit").map((c) => c.frames);
const frames = (n: number) => {
  for (let i = 0; i < n; i++) server.socket.updates(1, [row(0, version, ++version)]);
};

beforeEach(() => {
  version = 0;
  server = new FakeServer();
  client = server.client({ credits: 4 });
  client.subscribe({ patterns: ["#"] });
  client.connect();
  server.socket.welcome();
  server.socket.snapshot(1, ["a/t"], [row(0, -1, 0)]);
});

describe("credits", () => {
  it("are granted ahead, and then after a paint in which half of them were used", () => {
    expect(granted()).toEqual([4]);
    frames(1);
    server.screen.paint();
    expect(granted()).toEqual([4]);
    frames(1);
    expect(granted()).toEqual([4]);
    server.screen.paint();
    expect(granted()).toEqual([4, 6]);
    frames(3);
    server.screen.paint();
    expect(granted()).toEqual([4, 6, 9]);
  });

  it("are not granted while nobody looks, and at once when somebody does", () => {
    server.screen.show(false);
    frames(4);
    server.screen.paint();
    expect(granted()).toEqual([4]);
    server.screen.show(true);
    server.screen.paint();
    expect(granted()).toEqual([4, 8]);
    server.screen.show(true);
    server.screen.paint();
    expect(granted()).toEqual([4, 8]);
  });

  it("begin anew with a connection, with none if nobody looks", () => {
    frames(2);
    server.screen.show(false);
    server.reconnect();
    expect(granted()).toEqual([0]);
    // What was to be painted for the connection before is of no use to this one.
    server.screen.paint();
    expect(granted()).toEqual([0]);
  });

  it("are not granted to a server that does not know them", () => {
    server.socket.say("error", { code: "message_type", message: "m", path: "type" });
    frames(4);
    server.screen.paint();
    expect(granted()).toEqual([4]);
  });

  it("can be done without", () => {
    client = server.client({ credits: false });
    client.connect();
    server.socket.welcome();
    expect(granted()).toEqual([]);
  });
});
