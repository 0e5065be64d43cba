import { beforeEach, describe, expect, it } from "vitest";
import { LiveClient } from "./client.ts";
import { COLUMNS, FakeClock, FakeScreen, row } from "./fakes.ts";

/** A stream of events as the server would hold it open. */
class FakeStream {
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  readonly body = new ReadableStream<Uint8Array>({
    start: (c) => {
      this.controller = c;
    },
  });

  constructor(
    readonly url: URL,
    readonly headers: Record<string, string>,
    readonly signal: AbortSignal | undefined,
  ) {}

  raw(text: string): void {
    this.controller?.enqueue(new TextEncoder().encode(text));
  }

  say(type: string, payload: object): void {
    this.raw(`id: c\nevent: ${type}\ndata: ${JSON.stringify(payload)}\n\n`);
  }

  welcome(): void {
    this.say("welcome", {
      protocol: "sse",
      epoch: "e1",
      session: "s",
      server_time: 1e15,
      heartbeat_ms: 1000,
    });
  }

  snapshot(view: number, series: string, version: number): void {
    const dictionary = [{ i: 0, series }];
    const rows = [row(0, -1, version)];
    this.say("subscribed", {
      id: "0",
      view,
      columns: COLUMNS,
      dictionary,
      rows,
      cursor: `c${version}`,
      push_ts: 1,
      max_hz: 1,
    });
  }

  end(): void {
    this.controller?.close();
  }
}

let streams: FakeStream[];
let posted: { path: string; body: Record<string, unknown> }[];
let status: number;
let clock: FakeClock;
let client: LiveClient;

const fetch: typeof globalThis.fetch = async (input, init) => {
  const url = new URL(String(input));
  if (init?.method === "POST") {
    posted.push({ path: url.pathname, body: JSON.parse(String(init.body)) as Record<string, unknown> });
    return new Response(JSON.stringify({ version: 9 }));
  }
  if (status !== 200)
    return new Response(JSON.stringify({ error: { code: "token_expired", message: "m" } }), { status });
  const stream = new FakeStream(url, init?.headers as Record<string, string>, init?.signal ?? undefined);
  streams.push(stream);
  return new Response(stream.body);
};

/** Streams deliver over several turns of the event loop. */
const turn = async () => {
  for (let i = 0; i < 5; i++) await new Promise((done) => setTimeout(done, 0));
};

function start(getToken?: () => string): void {
  streams = [];
  posted = [];
  status = 200;
  clock = new FakeClock();
  client = new LiveClient({
    url: "https://weir.example/base/",
    transports: ["sse"],
    fetch,
    clock,
    screen: new FakeScreen(),
    random: () => 0,
    ...(getToken && { getToken }),
  });
}

const connect = async () => {
  client.connect();
  while (streams.length === 0) await turn();
};

/** End the first stream, and have the client come back. */
const again = async () => {
  streams[0]?.end();
  await turn();
  clock.advance(0);
  await turn();
};
const said = (room: string, version: number) => ({
  room,
  version,
  id: `m${version}`,
  type: "chat",
  from: { user: "u", session: "s" },
  payload: 1,
  time: 1,
});

beforeEach(() => start());

describe("event streams", () => {
  it("carry a subscription each, and the rooms", async () => {
    const a = client.subscribe({ patterns: ["a/#", "c"], maxHz: 5, filter: "last > 3" });
    const b = client.subscribe({ patterns: ["b/#"] });
    void client.room("p/ops").join();
    await connect();
    expect(streams[0]?.url.pathname).toBe("/base/v1/events");
    expect([...(streams[0]?.url.searchParams ?? [])].map((p) => p.join("="))).toEqual([
      "subscribe=a/#",
      "subscribe=c",
      "filter=last > 3",
      "max_hz=5",
      "join=p/ops",
      "last=50",
    ]);
    streams[0]?.welcome();
    await turn();
    expect(streams.map((s) => s.url.searchParams.getAll("subscribe"))).toEqual([["a/#", "c"], ["b/#"]]);
    // Another server may have given its view the same number.
    streams[1]?.welcome();
    streams[1]?.snapshot(7, "b/t", 20);
    streams[0]?.snapshot(7, "a/t", 10);
    streams[0]?.say("updates", { view: 7, push_ts: 1, rows: [row(0, 10, 11)] });
    streams[0]?.say("joined", { room: "p/ops", members: [], version: 1 });
    await turn();
    expect(a.sink.get("a/t")?.latest.version).toBe(11);
    expect(b.sink.get("b/t")?.latest.version).toBe(20);
    expect(client.room("p/ops").state).toBe("joined");
  });

  it("go on from the cursors after one has ended", async () => {
    const sub = client.subscribe({ patterns: ["a/#"] });
    await connect();
    streams[0]?.welcome();
    streams[0]?.snapshot(1, "a/t", 10);
    await turn();
    expect(sub.state).toBe("live");
    streams[0]?.end();
    await turn();
    expect(client.state.name).toBe("reconnecting");
    clock.advance(0);
    await turn();
    expect(streams[1]?.url.searchParams.get("cursor")).toBe("c10");
  });

  it("ask for the messages that a room has missed", async () => {
    const room = client.room("p/ops");
    void room.join(7);
    await connect();
    streams[0]?.welcome();
    streams[0]?.say("joined", { room: "p/ops", members: [], messages: [said("p/ops", 4)], version: 4 });
    await turn();
    await again();
    expect([...(streams[1]?.url.searchParams ?? [])].map((p) => p.join("="))).toEqual([
      "join=p/ops",
      "after=4",
    ]);
  });

  it("say which of several rooms may have missed some: they cannot ask for what came after", async () => {
    const missed: string[] = [];
    for (const name of ["a", "b", "c"]) {
      void client.room(name).join();
      client.room(name).on("missed", ({ after }) => missed.push(`${name}${after}`));
    }
    await connect();
    const answer = (stream: number, room: string, ...versions: number[]) =>
      streams[stream]?.say("joined", {
        room,
        members: [],
        messages: versions.map((v) => said(room, v)),
        version: Math.max(...versions),
      });
    streams[0]?.welcome();
    for (const room of ["a", "b", "c"]) answer(0, room, 1, 2);
    await turn();
    await again();
    expect(streams[1]?.url.search).toBe("?join=a&join=b&join=c&last=1000");
    streams[1]?.welcome();
    answer(1, "a", 2, 3);
    answer(1, "b", 4, 5);
    answer(1, "c", 2);
    await turn();
    expect(missed).toEqual(["b2"]);
    expect(
      client
        .room("b")
        .timeline()
        .map((m) => m.version),
    ).toEqual([1, 2, 4, 5]);
  });

  it("are alive while comments come, whatever pieces they come in", async () => {
    await connect();
    streams[0]?.raw("event: wel");
    streams[0]?.raw(
      'come\r\ndata: {"protocol":"sse","epoch":"e",\r\ndata: "server_time":1,"heartbeat_ms":1000}\r\n\r\n',
    );
    await turn();
    expect(client.state.name).toBe("live");
    for (let i = 0; i < 4; i++) {
      clock.advance(900);
      streams[0]?.raw(": beat\n\n");
      await turn();
    }
    expect(client.state.name).toBe("live");
    clock.advance(2000);
    await turn();
    expect([streams.length, streams[0]?.signal?.aborted]).toEqual([2, true]);
    expect(client.state).toMatchObject({ attempt: 1 });
  });

  it("carry credentials, and ask for others when they are refused", async () => {
    let n = 0;
    start(() => `t${++n}`);
    await connect();
    expect(streams[0]?.headers.authorization).toBe("Bearer t1");
    streams[0]?.end();
    await turn();
    status = 401;
    clock.advance(0);
    await turn();
    status = 200;
    clock.advance(0);
    await turn();
    expect(streams[1]?.headers.authorization).toBe("Bearer t2");
  });

  it("say why they end, as WebSockets do", async () => {
    await connect();
    streams[0]?.welcome();
    streams[0]?.say("close", { code: 4201, reason: "unsupported_protocol" });
    await turn();
    expect(client.state).toEqual({ name: "refused", code: 4201, reason: "unsupported_protocol" });
  });

  it("end with a subscription that ends, and are asked for one that comes", async () => {
    const a = client.subscribe({ patterns: ["a/#"] });
    await connect();
    streams[0]?.welcome();
    await turn();
    client.subscribe({ patterns: ["b/#"] });
    a.unsubscribe();
    await turn();
    expect(streams.map((s) => s.signal?.aborted)).toEqual([true, false]);
    expect(client.state.name).toBe("live");
  });

  it("leave sending to requests, which are the receipts", async () => {
    await connect();
    streams[0]?.welcome();
    await turn();
    const sent = client.send({ room: "p/ops" }, "chat", { a: 1 });
    expect(await sent.done).toBe(9);
    const body = { target: { room: "p/ops" }, type: "chat", payload: { a: 1 }, id: sent.id };
    expect(posted).toEqual([{ path: "/base/v1/publish", body }]);
  });

  it("refuse at once what only a WebSocket carries, but kicks, which wait and are in nobody's way", async () => {
    const room = client.room("p/ops");
    void room.join();
    await connect();
    streams[0]?.welcome();
    streams[0]?.say("joined", { room: "p/ops", members: [], version: 1 });
    await turn();
    expect(room.state).toBe("joined");
    const done: string[] = [];
    for (const { done: kicked } of [room.kick("u"), room.ban("u")])
      kicked.then(
        () => done.push("stored"),
        () => done.push("refused"),
      );
    await expect(room.send("typing", {}, { ephemeral: true }).done).rejects.toMatchObject({
      code: "not_connected",
    });
    expect([posted, done]).toEqual([[], []]);
    expect(await room.send("chat", "behind").done).toBe(9);
    await expect(client.stats()).rejects.toThrow("no connection that can be asked");
    await expect(client.listRooms()).rejects.toThrow("no connection that can be asked");
    expect([client.state.name, streams.length]).toEqual(["live", 1]);
  });
});
