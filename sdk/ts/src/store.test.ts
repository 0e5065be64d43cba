import { describe, expect, it } from "vitest";
import { FakeServer, row } from "./fakes.ts";
import { comparator } from "./order.ts";
import { BREAK } from "./points.ts";
import type { SubscribeOptions } from "./subscription.ts";
import { emptyUpdate, type Update } from "./update.ts";

function start(options: Partial<SubscribeOptions> = {}) {
  const server = new FakeServer();
  const client = server.client();
  const { sink: store } = client.subscribe({ patterns: ["#"], ...options });
  client.connect();
  server.socket.welcome();
  return { server, store };
}

describe("the store", () => {
  it("keeps the newest update and the past of each series, and tells what changed once per frame", () => {
    const { server, store } = start();
    const told: string[][] = [];
    store.on("changed", (all) => told.push([...all].map((s) => s.name)));
    server.socket.snapshot(1, ["b/t", "a/t"], [row(0, -1, 10, 4), row(1, -1, 10, 5)]);
    server.socket.updates(1, [row(0, 10, 12, 7)]);
    server.socket.updates(1, [row(0, 12, 15, 6)]);
    expect(told).toEqual([["b/t", "a/t"], ["b/t"], ["b/t"]]);
    const series = store.get("b/t");
    expect(series?.latest).toMatchObject({ version: 15, last: 6 });
    expect([series?.points.size, series?.rows, series?.readings]).toEqual([3, 3, 3]);
    expect(store.list("-last").map((s) => s.name)).toEqual(["b/t", "a/t"]);
  });

  it("is bounded per series", () => {
    const { server, store } = start();
    server.socket.snapshot(1, ["a/t"], []);
    for (let v = 0; v < 3000; v++) server.socket.updates(1, [row(0, v - 1, v, v)]);
    const points = store.get("a/t")?.points;
    expect(points?.size).toBe(1024);
    expect(points?.last[points.at(0)]).toBe(3000 - 1024);
  });

  it("goes on after a reconnect: what is known is not taken twice, and what was missed breaks the line", () => {
    const { server, store } = start();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect();
    server.socket.snapshot(2, ["a/t"], [row(0, -1, 10)]);
    expect(store.get("a/t")?.rows).toBe(1);
    server.reconnect();
    server.socket.snapshot(3, ["a/t"], [row(0, 14, 20)]);
    const points = store.get("a/t")?.points;
    expect(points?.flags[points.at(1)]).toBe(BREAK);
  });

  it("begins anew with another epoch", () => {
    const { server, store } = start();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10)]);
    server.reconnect("e2");
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 2)]);
    expect(store.get("a/t")).toMatchObject({ rows: 1, latest: { version: 2 } });
  });

  it("lists what the filter lets through", () => {
    const { server, store } = start({ filter: "last > 3" });
    server.socket.snapshot(1, ["a/t", "b/t"], [row(0, -1, 10), row(1, -1, 11)]);
    server.socket.updates(1, [], { left: [0] });
    expect(store.list().map((s) => s.name)).toEqual(["b/t"]);
    server.socket.updates(1, [row(0, -1, 10)]);
    expect(store.list("name").map((s) => s.name)).toEqual(["a/t", "b/t"]);
    server.socket.updates(1, [row(0, 10, 14)], { left: [1] });
    server.socket.updates(1, [row(1, 11, 14)]);
    expect(store.list("name").map((s) => s.name)).toEqual(["a/t", "b/t"]);
  });

  it("keeps the values when a row without readings advances the version", () => {
    const { server, store } = start();
    server.socket.snapshot(1, ["a/t"], [row(0, -1, 10, 5)]);
    const empty = [0, 11, 10, 0, 0, 0, null, null, null, null, null, null, 5, null, null, 2, 0, 2, 1, 1];
    server.socket.updates(1, [empty]);
    expect(store.get("a/t")?.latest).toMatchObject({ version: 11, last: 5, state: 2 });
    expect(store.get("a/t")?.points.size).toBe(1);
  });
});

describe("orders", () => {
  const series = (name: string, u: Partial<Update>) => ({ name, latest: { ...emptyUpdate(), ...u } });
  const names = (order: string, ...all: ReturnType<typeof series>[]) =>
    all.sort(comparator(order)).map((s) => s.name);

  it("put the worst first: by state, score, distance from the band's middle, name", () => {
    const band = { avg: 10, lo: 8, hi: 12 };
    const all = [
      series("e", {}),
      series("d", {}),
      series("c", { ...band, last: 11 }),
      series("b", { ...band, last: 5 }),
      series("a", { score: 0.5 }),
      series("z", { state: 4 }),
    ];
    expect(names("worst", ...all)).toEqual(["z", "a", "b", "c", "d", "e"]);
  });

  it("by a column go up or down, with the unknown last", () => {
    const all = [
      series("x", {}),
      series("b", { last: 2 }),
      series("a", { last: 2 }),
      series("c", { last: 1 }),
    ];
    expect(names("last", ...all)).toEqual(["c", "a", "b", "x"]);
    expect(names("-last", ...all)).toEqual(["a", "b", "c", "x"]);
  });
});
