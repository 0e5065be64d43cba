import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../../../e2e/process.ts";
import { FakeScreen } from "../../src/fakes.ts";
import type { LiveClient, LiveOptions } from "../../src/index.ts";
import { protoCodec } from "../../src/proto.ts";
import { Cable, connect, Ledger, make, send, startWeir, until, type Weir } from "./plant.ts";

let weir: Weir;
const clients: LiveClient[] = [];

beforeAll(async () => {
  weir = await startWeir();
});
afterAll(() => weir?.stop());
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

function live(options: Partial<LiveOptions> = {}): LiveClient {
  const client = connect(weir, options);
  clients.push(client);
  client.connect();
  return client;
}

interface Snapshot {
  readonly columns: readonly string[];
  readonly dictionary: readonly { readonly i: number; readonly series: string }[];
  readonly rows: readonly (readonly number[])[];
}

/** Versions by series as the server tells them. */
async function stored(pattern: string): Promise<Map<string, number>> {
  const headers = { authorization: `Bearer ${weir.key}` };
  const answer = await fetch(`${weir.url}/v1/snapshot?series=${encodeURIComponent(pattern)}`, { headers });
  const { columns, dictionary, rows } = (await answer.json()) as Snapshot;
  const names = new Map(dictionary.map((e) => [e.i, e.series]));
  const version = columns.indexOf("version");
  return new Map(rows.map((r) => [names.get(r[0] as number) ?? "", r[version] as number]));
}

describe("over a WebSocket", () => {
  it("the state comes, and then what happens", async () => {
    await send(weir, "a/press", "t", [1, 2, 3]);
    const sub = live().subscribe({ patterns: ["a/#"] });
    await until(() => sub.sink.get("a/press/t")?.latest.last === 3, "the state");
    await send(weir, "a/press", "t", [50, 4]);
    await until(() => sub.sink.get("a/press/t")?.latest.last === 4, "the readings");
    const past = sub.sink.get("a/press/t")?.points;
    const highest = Math.max(
      ...Array.from({ length: past?.size ?? 0 }, (_, i) => past?.max[past.at(i)] ?? 0),
    );
    expect(highest).toBe(50);
    expect(sub.counts).toMatchObject({ gaps: 0, resyncs: 0 });
  });

  it.each([
    ["json", undefined],
    ["proto", protoCodec()],
  ])("each reading is told once, however often the connection is cut: %s", async (name, codec) => {
    const cable = new Cable();
    const client = live({ WebSocket: cable.WebSocket, codec });
    const ledger = new Ledger();
    const sub = client.subscribe({ patterns: [`${name}/#`], maxHz: 0 }, ledger);
    await until(() => sub.state === "live", "the subscription");
    let cuts = 0;
    client.on("state", (state) => {
      if (state.name === "reconnecting") cuts++;
    });
    const devices = ["a", "b", "c"].map((d) => `${name}/${d}`);
    let sent = 0;
    for (let round = 0; round < 60; round++) {
      const values = Array.from({ length: 1 + (round % 5) }, (_, i) => round + i);
      await Promise.all(devices.map((d) => send(weir, d, "t", values)));
      sent += values.length;
      if (round % 6 !== 5) continue;
      await until(() => sub.state === "live", "the subscription again");
      const before = cuts;
      cable.cut();
      await until(() => cuts > before, "the cut");
    }
    await until(
      () => devices.every((d) => ledger.readings.get(`${d}/t`) === sent),
      `${sent} readings of each`,
    );
    await until(() => sub.counts.resumes === 10, "ten resumptions");
    expect(new Map(ledger.versions)).toEqual(await stored(`${name}/#`));
    expect(ledger.broken).toBe(0);
    expect(sub.counts.gaps).toBe(0);
    expect(sub.counts.resyncs).toBe(0);
  });

  it("a page that nobody looks at is told nothing, and then all of it in a few rows", async () => {
    const screen = new FakeScreen();
    const client = live({ screen, credits: 2 });
    const ledger = new Ledger();
    const sub = client.subscribe({ patterns: ["hidden/#"], maxHz: 0 }, ledger);
    await until(() => sub.state === "live", "the subscription");
    screen.show(false);
    for (let i = 1; i <= 20; i++) await send(weir, "hidden/a", "t", [i === 7 ? 99 : i]);
    await until(() => sub.counts.frames === 2, "what was granted before");
    const { subscriptions } = await client.stats();
    expect(subscriptions).toMatchObject([{ frames: 2 }]);
    expect(subscriptions[0]?.depth).toBeGreaterThan(0);
    expect(sub.counts.frames).toBe(2);
    screen.show(true);
    const all = () => {
      screen.paint();
      return ledger.readings.get("hidden/a/t") === 20;
    };
    await until(all, "the rest");
    expect([ledger.max.get("hidden/a/t"), ledger.broken]).toEqual([99, 0]);
    expect(sub.counts.frames).toBeLessThan(10);
  });

  it("a filter tells of those that meet it, and misses no spike", async () => {
    await send(weir, "hot/a", "t", [10]);
    await send(weir, "hot/b", "t", [95]);
    const ledger = new Ledger();
    const sub = live().subscribe(
      { patterns: ["hot/#"], filter: "max > 90", fields: ["last", "max"] },
      ledger,
    );
    await until(() => ledger.max.get("hot/b/t") === 95, "the hot one");
    expect(ledger.max.has("hot/a/t")).toBe(false);
    await send(weir, "hot/b", "t", [20]);
    await until(() => ledger.left.has("hot/b/t"), "the one that cooled");
    await send(weir, "hot/a", "t", [97, 11]);
    await until(() => ledger.max.get("hot/a/t") === 97, "the spike");
    expect(sub.counts.gaps).toBe(0);
  });

  it("a limit tells of the first by the order", async () => {
    for (const [i, value] of [5, 9, 7].entries()) await send(weir, `top/d${i}`, "t", [value]);
    const { sink: store } = live().subscribe({ patterns: ["top/#"], order: "-last", limit: 2 });
    const names = () => store.list("-last").map((s) => s.name);
    await until(() => names().join() === "top/d1/t,top/d2/t", "the first two");
    await send(weir, "top/d0", "t", [8]);
    await until(() => names().join() === "top/d1/t,top/d0/t", "another second");
  });

  it("what one may not subscribe to is told", async () => {
    const { token } = await make(weir, "/v1/tokens", {
      sub: "eve",
      ttl: "1m",
      roles: ["viewer"],
      read: ["a/#"],
    });
    const client = live({ getToken: () => token });
    const sub = client.subscribe({ patterns: ["#"] });
    const refused = new Promise((told) => sub.on("error", (e) => told(e.code)));
    expect(await refused).toBe("forbidden");
  });

  it("credentials are renewed over the open connection", async () => {
    const rights = { sub: "bob", roles: ["viewer"], read: ["a/#"] };
    const reasons: string[] = [];
    const client = live({
      getToken: async (reason) => {
        reasons.push(reason);
        return (await make(weir, "/v1/tokens", { ...rights, ttl: reasons.length > 1 ? "5m" : "20s" })).token;
      },
    });
    const renewed = new Promise((told) =>
      client.on("authenticated", () => reasons.length > 1 && told(undefined)),
    );
    await client.ready();
    await renewed;
    expect(reasons).toEqual(["first", "expiring"]);
    expect(client.state.name).toBe("live");
  });

  it("credentials that are not valid are asked for once more, and then a person has to", async () => {
    const reasons: string[] = [];
    const client = live({
      getToken: (reason) => {
        reasons.push(reason);
        return "weir_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
      },
    });
    await expect(client.ready()).rejects.toThrow("token_invalid");
    expect(reasons).toEqual(["first", "refused"]);
  });
});

describe("alerts", () => {
  it("come with what people do about them, which is shown at once", async () => {
    const client = live();
    client.subscribe({ patterns: ["alarm/#"] });
    const raised = new Promise<string>((told) => client.alerts.on("transition", (a) => told(a.id)));
    const calm = Array.from({ length: 100 }, (_, i) => 60 + Math.sin(i));
    for (let i = 0; i < 20; i++) await send(weir, "alarm/press", "t", calm.slice(i * 5, i * 5 + 5));
    await send(weir, "alarm/press", "t", [900]);
    const id = await raised;
    const done = client.alerts.comment(id, "a stuck valve");
    expect(client.alerts.get(id)?.comments?.at(-1)).toMatchObject({ text: "a stuck valve", time: 0 });
    const version = await done;
    expect(await client.alerts.waitFor(id, version, 5000)).toBeGreaterThanOrEqual(version);
    expect(client.alerts.get(id)?.comments?.at(-1)?.time).toBeGreaterThan(0);
    await expect(client.alerts.comment("nobody", "x")).rejects.toMatchObject({ code: "alert_unknown" });
  });
});

describe("without WebSockets", () => {
  it("server-sent events carry the same, and go on after a cut", async () => {
    await send(weir, "sse/a", "t", [1]);
    let opened = 0;
    let abort: () => void = () => {};
    const client = live({
      transports: ["sse"],
      fetch: (url, init) => {
        opened++;
        const stop = new AbortController();
        abort = () => stop.abort();
        init?.signal?.addEventListener("abort", abort);
        return fetch(url, { ...init, signal: stop.signal });
      },
    });
    const ledger = new Ledger();
    const sub = client.subscribe({ patterns: ["sse/#"], maxHz: 0 }, ledger);
    await until(() => ledger.readings.get("sse/a/t") === 1, "the state");
    for (let i = 0; i < 5; i++) {
      await send(weir, "sse/a", "t", [i, i + 1]);
      abort();
    }
    await until(() => ledger.readings.get("sse/a/t") === 11, "11 readings");
    expect(sub.counts).toMatchObject({ gaps: 0, resyncs: 0 });
    expect(opened).toBeGreaterThan(1);
  });

  it("are what is tried when sockets do not open", async () => {
    class Dead {
      onclose: ((event: { code: number; reason: string }) => void) | null = null;
      constructor() {
        queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" }));
      }
      send(): void {}
      close(): void {}
    }
    const client = live({ WebSocket: Dead });
    const sub = client.subscribe({ patterns: ["sse/#"] });
    await until(() => sub.state === "live", "the subscription");
    expect(client.connection.transport).toBe("sse");
  });
});

describe("a server that restarts", () => {
  it("is come back to, and what was told before is not told again", async () => {
    const data = mkdtempSync(join(tmpdir(), "weir-sdk-"));
    const port = await freePort();
    let server = await startWeir({ port, data });
    const client = connect(server);
    try {
      const ledger = new Ledger();
      const sub = client.subscribe({ patterns: ["#"], maxHz: 0 }, ledger);
      client.connect();
      await send(server, "p/a", "t", [1, 2, 3]);
      await until(() => ledger.readings.get("p/a/t") === 3, "three readings");
      await server.stop();
      await until(() => client.state.name === "reconnecting", "the end");
      server = await startWeir({ port, data });
      await send(server, "p/a", "t", [4, 5]);
      await until(() => ledger.readings.get("p/a/t") === 5, "five readings");
      expect([ledger.broken, sub.counts.gaps]).toEqual([0, 0]);
    } finally {
      client.close();
      await server.stop();
      rmSync(data, { recursive: true, force: true });
    }
  });
});
