import { beforeEach, describe, expect, it } from "vitest";
import type { LiveClient } from "./client.ts";
import { alert, FakeServer, settled } from "./fakes.ts";

let server: FakeServer;
let client: LiveClient;
let told: string[];
let requests: { url: string; body: unknown; key: string | undefined }[];
let answer: (status: number, body: object) => void;

beforeEach(() => {
  server = new FakeServer();
  requests = [];
  client = server.client({
    fetch: (url, init) => {
      const headers = init?.headers as Record<string, string>;
      requests.push({
        url: String(url),
        body: JSON.parse(String(init?.body)),
        key: headers["idempotency-key"],
      });
      return new Promise((resolve) => {
        answer = (status, body) => resolve(new Response(JSON.stringify(body), { status }));
      });
    },
  });
  told = [];
  client.alerts.on("transition", (a) => told.push(`${a.id}@${a.version}`));
  client.alerts.on("ended", (a) => told.push(`${a.id} ended`));
  client.subscribe({ patterns: ["a/#"] });
  client.connect();
  server.socket.welcome();
});

describe("alerts", () => {
  it("are told once by id and version, older ones not at all", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3)] });
    for (const version of [3, 2, 5]) server.socket.say("alert", alert("x", version));
    expect(told).toEqual(["x@3", "x@5"]);
  });

  it("that are not open any more in a fresh snapshot have ended; others are not its business", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3), alert("y", 4)] });
    server.socket.say("alert", alert("z", 5, { series: "b/t" }));
    server.reconnect();
    server.socket.snapshot(2, [], [], { alerts: [alert("y", 6)] });
    expect(told.slice(3)).toEqual(["x ended", "y@6"]);
    expect(client.alerts.open().map((a) => a.id)).toEqual(["y", "z"]);
  });

  it("that were missed come in order with a resumed subscription, and end none", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3)] });
    server.reconnect();
    const missed = [alert("y", 4), alert("y", 6, { phase: "resolved" })];
    server.socket.snapshot(2, [], [], { resumed: true, alerts: missed });
    expect(told).toEqual(["x@3", "y@4", "y@6"]);
    expect(client.alerts.open().map((a) => a.id)).toEqual(["x"]);
  });

  it("that were missed come in order when the rows begin anew, and end none", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3), alert("y", 4)] });
    server.reconnect();
    const { id } = server.socket.last("subscribe");
    server.socket.say("resync", { view: 2, id, reason: "cursor_too_old" });
    const missed = [
      alert("z", 5),
      alert("y", 6, { phase: "resolved" }),
      alert("z", 7, { phase: "resolved" }),
    ];
    server.socket.snapshot(2, [], [], {
      alerts_resumed: true,
      alerts: [alert("y", 4), ...missed, alert("x", 3)],
    });
    expect(told).toEqual(["x@3", "y@4", "z@5", "y@6", "z@7"]);
    expect(client.alerts.open().map((a) => a.id)).toEqual(["x"]);
  });

  it("of another epoch begin anew", () => {
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 3)] });
    server.reconnect("e2");
    server.socket.snapshot(1, [], [], { alerts: [alert("x", 1)] });
    expect(told).toEqual(["x@3", "x@1"]);
  });
});

describe("what people do about alerts", () => {
  beforeEach(() => server.socket.snapshot(1, [], [], { alerts: [alert("x", 3)] }));
  const phase = () => client.alerts.get("x")?.phase;

  it("is shown at once, and confirmed by the answer", async () => {
    const done = client.alerts.acknowledge("x", "on my way");
    expect([phase(), client.alerts.pending("x")]).toEqual(["acknowledged", true]);
    await settled();
    expect(requests).toMatchObject([{ url: "/v1/alerts/x/ack", body: { comment: "on my way" } }]);
    answer(200, alert("x", 4, { phase: "acknowledged" }));
    expect(await done).toBe(4);
    expect([phase(), client.alerts.pending("x"), told]).toEqual(["acknowledged", false, ["x@3", "x@4"]]);
  });

  it("that is stored but not applied stays shown until its version comes", async () => {
    const done = client.alerts.assign("x", "bob");
    await settled();
    answer(202, { id: "x", version: 9 });
    expect(await done).toBe(9);
    server.socket.say("alert", alert("x", 8, { value: 5 }));
    expect(client.alerts.get("x")).toMatchObject({ value: 5, assignee: "bob" });
    server.socket.say("alert", alert("x", 9, { assignee: "carol" }));
    expect(client.alerts.get("x")).toMatchObject({ assignee: "carol" });
    expect(client.alerts.pending("x")).toBe(false);
  });

  it("is taken back when it is refused", async () => {
    const changed: string[] = [];
    client.alerts.on("changed", (id) => changed.push(id));
    const done = client.alerts.comment("x", "hm");
    await settled();
    answer(409, { error: { code: "alert_resolved", message: "the alert is over" } });
    await expect(done).rejects.toMatchObject({ code: "alert_resolved", message: "the alert is over" });
    expect(client.alerts.get("x")?.comments).toBeUndefined();
    expect(changed).toEqual(["x", "x"]);
  });

  it("can be waited for", async () => {
    const seen = client.alerts.waitFor("x", 5, 100);
    server.socket.say("alert", alert("x", 5));
    expect(await seen).toBe(5);
  });
});
