import { beforeEach, describe, expect, it } from "vitest";
import type { LiveOptions } from "./client.ts";
import { channel, FakeScreen, FakeServer, settled } from "./fakes.ts";
import type { Message } from "./protocol.ts";
import type { Room } from "./room.ts";
import { serve } from "./worker.ts";
import { LiveWorker } from "./worker-client.ts";
import type { FromWorker, Port, ToWorker } from "./worker-protocol.ts";

let server: FakeServer;
let live: LiveWorker;
let room: Room;
let told: string[];

function start(
  ports: [Port<FromWorker, ToWorker>, Port<ToWorker, FromWorker>],
  options: Partial<LiveOptions> = {},
) {
  server = new FakeServer();
  serve(ports[1], { open: () => server.open(), clock: server.clock, random: () => 0.5, ...options });
  live = new LiveWorker(ports[0], {
    url: "http://weir.example",
    screen: new FakeScreen(),
    clock: server.clock,
    receiptTimeout: 5_000,
  });
  room = live.room("p/ops");
  told = [];
  room.on("message", (m) => told.push(m.id));
  room.on("missed", ({ after }) => told.push(`missed after ${after}`));
}

const message = (version: number, more: Partial<Message> = {}): Message => ({
  room: "p/ops",
  version,
  id: `m${version}`,
  type: "chat",
  payload: { n: version },
  from: { user: "bob", session: "other" },
  time: version,
  ...more,
});
const joined = (messages: Message[] = [], more: object = {}) =>
  server.socket.say("joined", {
    room: "p/ops",
    members: [{ user: "bob", session: "other", state: "active", since: 1 }],
    messages,
    version: messages.at(-1)?.version ?? 0,
    ...more,
  });
const texts = () => room.timeline().map((m) => `${m.id}${m.pending ? "?" : ""}`);

beforeEach(() => start(channel()));

describe("a room of a page whose connection a worker holds", () => {
  it("is joined once there is a connection, with members and messages", async () => {
    const answer = room.join(10);
    server.socket.welcome();
    expect(server.socket.got("join")).toEqual([{ room: "p/ops", last: 10 }]);
    joined([message(1), message(2)]);
    expect((await answer).members).toHaveLength(1);
    server.socket.say("message", message(3));
    server.socket.say("presence", { room: "p/ops", event: "joined", user: "eve", session: "third", time: 9 });
    expect([told, texts(), room.state]).toEqual([["m1", "m2", "m3"], ["m1", "m2", "m3"], "joined"]);
    expect([...room.members.keys()]).toEqual(["other", "third"]);
    expect(await room.waitFor(3, 1)).toBe(3);
    expect(live.room("p/ops")).toBe(room);
  });

  it("shows what it sends at once, once, and until it is refused", async () => {
    server.socket.welcome();
    room.join();
    joined();
    const { id, done } = room.send("chat", { text: "hello" }, { ttlMs: 5 });
    expect(server.socket.last("send")).toMatchObject({ id, room: "p/ops", type: "chat", ttl_ms: 5 });
    expect(texts()).toEqual([`${id}?`]);
    server.socket.say("message", message(1, { id }));
    server.socket.say("receipt", { id, version: 1 });
    expect([await done, texts(), told]).toEqual([1, [id], [id]]);
    const refused = room.send("chat", {});
    server.socket.say("error", { code: "forbidden", message: "m", id: refused.id, room: "p/ops" });
    await expect(refused.done).rejects.toMatchObject({ name: "Refused", code: "forbidden" });
    expect([texts(), room.state]).toEqual([[id], "joined"]);
    const late = room.send("chat", {});
    server.pass(5_000);
    await expect(late.done).rejects.toMatchObject({ code: "receipt_timeout" });
  });

  it("goes on after a reconnect: with what was missed, a gap, and what had no receipt", () => {
    server.socket.welcome();
    room.join();
    joined([message(4)]);
    const { id } = room.send("chat", {});
    server.reconnect();
    expect(server.socket.got("join")).toEqual([{ room: "p/ops", after: 4 }]);
    expect(server.socket.got("send").map((m) => m.id)).toEqual([id]);
    joined([message(4), message(9)], { gap: true });
    expect(told).toEqual(["m4", "missed after 4", "m9"]);
    server.reconnect("e2");
    expect(server.socket.last("join")).toMatchObject({ room: "p/ops", last: 50 });
    expect(told.at(-1)).toBe("missed after 9");
  });

  it("tells why it may not be joined, and is joined no more when it was left", async () => {
    server.socket.welcome();
    const problems: string[] = [];
    live.on("problem", (e) => problems.push(e.code));
    const refused = room.join();
    server.socket.say("error", { code: "banned", message: "m", room: "p/ops" });
    await expect(refused).rejects.toMatchObject({ name: "Refused", code: "banned" });
    expect([room.state, problems]).toEqual(["refused", []]);
    const other = live.room("p/other");
    const left = other.join();
    other.leave();
    await expect(left).rejects.toMatchObject({ code: "left" });
    expect(server.socket.got("leave")).toEqual([{ room: "p/other" }]);
    server.reconnect();
    expect(server.socket.got("join")).toEqual([]);
    server.socket.say("error", { code: "overloaded", message: "m", room: "p/unknown" });
    expect(problems).toEqual(["overloaded"]);
  });

  it("is not the only one to send: to users and all, who acknowledge", async () => {
    server.socket.welcome();
    const got: number[] = [];
    live.on("message", (m) => {
      got.push(m.version);
      live.acknowledge(m);
    });
    const { id, done } = live.send({ user: "eve" }, "note", {});
    expect(server.socket.last("send")).toMatchObject({ id, user: "eve", type: "note" });
    server.socket.say("receipt", { id, version: 7 });
    expect(await done).toBe(7);
    const { room: _, ...toUser } = message(5, { user: "me" });
    server.socket.say("message", toUser);
    server.socket.say("message", toUser);
    expect([got, server.socket.got("ack"), told]).toEqual([[5], [{ version: 5 }], []]);
  });

  it("fails at once what is worth nothing later, where the way does not carry it", async () => {
    server.socket.welcome();
    room.join();
    joined();
    const { socket } = server;
    const { send } = socket;
    socket.send = (() => false) as never;
    await expect(room.send("typing", {}, { ephemeral: true }).done).rejects.toMatchObject({
      code: "not_connected",
    });
    const kick = room.kick("bob");
    socket.send = send;
    server.reconnect();
    expect(server.socket.got("kick")).toEqual([{ id: kick.id, room: "p/ops", user: "bob" }]);
    server.socket.say("error", { code: "forbidden", message: "m", id: kick.id, room: "p/ops" });
    await expect(kick.done).rejects.toMatchObject({ code: "forbidden" });
    joined();
    expect(room.state).toBe("joined");
  });

  it("sends what a LiveClient would: as JSON has it, though ports cannot carry it so", async () => {
    server.socket.welcome();
    room.join();
    joined();
    const proxy = new Proxy({ text: "hello", at: new URL("http://weir.example/"), gone: () => 1 }, {});
    const { id } = room.send("chat", proxy);
    expect(server.socket.last("send")).toEqual({
      id,
      room: "p/ops",
      type: "chat",
      payload: { text: "hello", at: "http://weir.example/" },
    });
  });

  it("is asked for in the addresses of event streams, from its newest message on", async () => {
    const asked: string[] = [];
    let answer = new TransformStream<Uint8Array, Uint8Array>();
    const fetch = (async (url: string) => {
      asked.push(url.replace(/.*\?/, ""));
      answer = new TransformStream();
      return new Response(answer.readable, { headers: { "content-type": "text/event-stream" } });
    }) as typeof globalThis.fetch;
    start(channel(), { open: undefined, transports: ["sse"], fetch });
    void room.join(3);
    const events = async (text: string) => {
      const writer = answer.writable.getWriter();
      await writer.write(new TextEncoder().encode(text));
      writer.releaseLock();
      await new Promise((done) => setTimeout(done, 5));
    };
    const welcome = {
      protocol: "weir.v1.json",
      epoch: "e1",
      session: "me",
      server_time: 1,
      heartbeat_ms: 1000,
    };
    const open = async () => {
      await until(() => asked.length > 0);
      await events(`event: welcome\ndata: ${JSON.stringify(welcome)}\n\n`);
    };
    await open();
    await until(() => {
      server.clock.advance(1000);
      return asked.length > 1;
    });
    expect(asked.at(-1)).toBe("join=p%2Fops&last=3");
    await events(`event: welcome\ndata: ${JSON.stringify(welcome)}\n\n`);
    const first = { room: "p/ops", members: [], messages: [message(8)], version: 8 };
    await events(`event: joined\ndata: ${JSON.stringify(first)}\n\n`);
    expect([told, room.state]).toEqual([["m8"], "joined"]);
    const again = async (count: number) => {
      await until(() => {
        server.clock.advance(1000);
        return asked.length > count;
      });
      await events(`event: welcome\ndata: ${JSON.stringify(welcome)}\n\n`);
      return asked.at(-1);
    };
    await answer.writable.close();
    expect(await again(2)).toBe("join=p%2Fops&after=8");
    await events(`event: error\ndata: {"code":"banned","message":"m","room":"p/ops"}\n\n`);
    expect(room.state).toBe("refused");
    await answer.writable.close();
    expect(await again(3)).toBe("");
    void room.join();
    expect(await again(4)).toBe("join=p%2Fops&after=8");
    room.leave();
    expect(await again(5)).toBe("");
    live.close();
  });

  it("is the same over a real channel", async () => {
    const { port1, port2 } = new MessageChannel();
    start([port1 as unknown as Port<FromWorker, ToWorker>, port2 as unknown as Port<ToWorker, FromWorker>]);
    const answer = room.join();
    await until(() => server.sockets.length > 0);
    server.socket.welcome();
    await until(() => server.socket.got("join").length > 0);
    joined([message(1)]);
    await answer;
    const { id, done } = room.send("chat", { text: "hello" });
    await until(() => server.socket.got("send").length > 0);
    server.socket.say("message", message(2, { id }));
    server.socket.say("receipt", { id, version: 2 });
    expect([await done, texts(), told]).toEqual([2, ["m1", id], ["m1", id]]);
    port1.close();
  });
});

/** Let real ports and streams deliver. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((again) => setTimeout(again, 1));
  await settled();
  expect(holds()).toBe(true);
}
