import { beforeEach, describe, expect, it } from "vitest";
import type { LiveClient } from "./client.ts";
import { FakeServer, settled } from "./fakes.ts";
import type { Message } from "./protocol.ts";
import type { Room } from "./room.ts";

let server: FakeServer;
let client: LiveClient;
let room: Room;
let told: string[];

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
    members: [],
    messages,
    version: messages.at(-1)?.version ?? 0,
    ...more,
  });
const refuse = (code: string, more: object = { room: "p/ops" }) =>
  server.socket.say("error", { code, message: "m", ...more });
const texts = () => room.timeline().map((m) => `${m.id}${m.pending ? "?" : ""}`);

beforeEach(() => {
  server = new FakeServer();
  client = server.client();
  room = client.room("p/ops");
  told = [];
  room.on("message", (m) => told.push(m.id));
  client.connect();
  server.socket.welcome();
});

describe("a room", () => {
  it("is joined with its last messages and members, which events keep up", async () => {
    const answer = room.join(10);
    expect(server.socket.last("join")).toEqual({ room: "p/ops", last: 10 });
    const bob = { user: "bob", session: "other", state: "active", since: 1 };
    joined([message(1), message(2)], { members: [bob] });
    expect((await answer).messages).toHaveLength(2);
    const event = (kind: string, user: string, session: string) =>
      server.socket.say("presence", { room: "p/ops", event: kind, user, session, time: 9 });
    event("joined", "eve", "third");
    event("away", "bob", "other");
    expect([...room.members.values()]).toEqual([
      { ...bob, state: "away" },
      { user: "eve", session: "third", state: "active", since: 9 },
    ]);
    event("left", "bob", "other");
    expect([...room.members.keys()]).toEqual(["third"]);
    server.socket.say("message", message(3));
    expect(told).toEqual(["m1", "m2", "m3"]);
  });

  it("is joined again after a reconnect, and tells each message once and in order", () => {
    void room.join(3);
    joined([message(1)]);
    server.socket.say("message", message(2));
    server.reconnect();
    expect(room.state).toBe("joining");
    expect(server.socket.got("join")).toHaveLength(1);
    expect(server.socket.last("join")).toEqual({ room: "p/ops", after: 2 });
    joined([message(3)]);
    server.socket.say("message", message(2));
    server.socket.say("message", message(4));
    expect(told).toEqual(["m1", "m2", "m3", "m4"]);
    expect(room.state).toBe("joined");
  });

  it("says when messages may be missing, before those that follow", () => {
    room.on("missed", ({ after }) => told.push(`missed after ${after}`));
    void room.join(2);
    joined([message(1), message(2)]);
    server.reconnect();
    joined([message(3), message(4)]);
    server.reconnect();
    joined([message(9)], { gap: true });
    server.reconnect("e2");
    expect(server.socket.last("join")).toEqual({ room: "p/ops", last: 2 });
    joined([message(1)]);
    expect(told).toEqual(["m1", "m2", "m3", "m4", "missed after 4", "m9", "missed after 9", "m1"]);
  });

  it("asks for what came after it joined, though it has seen none", () => {
    void room.join(0);
    joined([], { version: 7 });
    server.reconnect();
    expect(server.socket.last("join")).toEqual({ room: "p/ops", after: 7 });
  });

  it("takes no answer for a later one's", async () => {
    const first = room.join();
    room.leave();
    await expect(first).rejects.toMatchObject({ code: "left" });
    const second = room.join();
    joined([message(1)]);
    server.socket.say("left", { room: "p/ops" });
    expect([room.state, told]).toEqual(["joining", []]);
    joined([message(2)]);
    expect((await second).version).toBe(2);
    expect([room.state, told]).toEqual(["joined", ["m2"]]);
  });

  it("is out when the server says so", () => {
    const errors: string[] = [];
    void room.join();
    joined([message(1)]);
    room.on("state", (s) => errors.push(s));
    server.socket.say("left", { room: "p/ops" });
    server.socket.say("message", message(2));
    expect([errors, told]).toEqual([["idle", "refused"], ["m1"]]);
    server.reconnect();
    expect(server.socket.got("join")).toEqual([]);
  });

  it.each(["overloaded", "not_stored", "room_full"])("is joined again after a while: %s", async (code) => {
    const answer = room.join();
    joined([message(1)]);
    await answer;
    server.reconnect();
    refuse(code);
    expect(room.state).toBe("joining");
    server.pass(5_000);
    expect(server.socket.got("join")).toHaveLength(2);
    joined([message(2)]);
    expect(told).toEqual(["m1", "m2"]);
  });

  it("that was left, or from which one was removed, stays left", async () => {
    void room.join();
    joined();
    server.socket.say("presence", { room: "p/ops", event: "kicked", user: "a", session: "me", time: 1 });
    expect(room.state).toBe("idle");
    void room.join();
    joined();
    room.leave();
    expect(server.socket.last("leave")).toEqual({ room: "p/ops" });
    server.reconnect();
    expect(server.socket.got("join")).toHaveLength(0);
  });

  it("that may not be joined says so", async () => {
    const answer = room.join();
    server.socket.say("error", { code: "banned", message: "until noon", room: "p/ops" });
    await expect(answer).rejects.toMatchObject({ name: "Refused", code: "banned" });
    expect(room.state).toBe("refused");
  });

  it("has receipts for what moderators do, and refusals that are not those of a join", async () => {
    const [kick, ban] = [room.kick("eve", "spam"), room.ban("eve", { forMs: 1000 })];
    expect(server.socket.last("kick")).toEqual({ id: kick.id, room: "p/ops", user: "eve", reason: "spam" });
    expect(server.socket.last("ban")).toEqual({ id: ban.id, room: "p/ops", user: "eve", for_ms: 1000 });
    server.socket.say("receipt", { id: kick.id, version: 3 });
    expect(await kick.done).toBe(3);
    void room.join();
    refuse("forbidden", { id: ban.id, room: "p/ops" });
    await expect(ban.done).rejects.toMatchObject({ name: "Refused", code: "forbidden" });
    joined();
    expect(room.state).toBe("joined");
    server.socket.lose();
    const later = room.kick("bob");
    server.reconnect();
    expect(server.socket.got("kick")).toEqual([{ id: later.id, room: "p/ops", user: "bob" }]);
  });
});

describe("a message of one's own", () => {
  beforeEach(() => {
    void room.join();
    joined([message(1)]);
  });

  it("that JSON cannot say is refused at once, and is in the way of no other", async () => {
    const { done } = room.send("chat", 1n);
    await expect(done).rejects.toThrow(TypeError);
    const next = room.send("chat", "hello");
    expect(server.socket.got("send").map((m) => m.id)).toEqual([next.id]);
    expect(texts()).toEqual(["m1", `${next.id}?`]);
  });

  it("is shown at once, as pending until it comes back", async () => {
    const sent = room.send("chat", "hello");
    expect(server.socket.last("send")).toEqual({
      id: sent.id,
      room: "p/ops",
      type: "chat",
      payload: "hello",
    });
    expect(texts()).toEqual(["m1", `${sent.id}?`]);
    server.socket.say("message", message(2));
    server.socket.say("message", message(3, { id: sent.id }));
    server.socket.say("receipt", { id: sent.id, version: 3 });
    expect(await sent.done).toBe(3);
    expect(texts()).toEqual(["m1", "m2", sent.id]);
  });

  it("is confirmed by its receipt where it does not come back, in its place", async () => {
    const sent = room.send("chat", "hello", { excludeSelf: true });
    server.socket.say("message", message(5));
    server.socket.say("receipt", { id: sent.id, version: 3 });
    await settled();
    expect(texts()).toEqual(["m1", sent.id, "m5"]);
    expect(told).toEqual(["m1", "m5"]);
  });

  it("that was not to come back is not told after a reconnect either, receipt or not", async () => {
    const stored = room.send("chat", "hello", { excludeSelf: true });
    const other = room.send("chat", "hello", { excludeSelf: true });
    server.socket.say("receipt", { id: stored.id, version: 3 });
    await settled();
    expect(room.version).toBe(1);
    const read = room.waitFor(3, 1).catch((e) => e.name);
    server.pass(1);
    expect(await read).toBe(3);
    server.reconnect();
    joined([message(3, { id: stored.id }), message(4, { id: other.id }), message(5)]);
    server.socket.say("receipt", { id: other.id, version: 4 });
    await settled();
    expect(told).toEqual(["m1", "m5"]);
    expect(texts()).toEqual(["m1", stored.id, other.id, "m5"]);
  });

  it("is taken back when it is refused", async () => {
    const sent = room.send("chat", "hello");
    server.socket.say("error", { code: "forbidden", message: "m", id: sent.id });
    await expect(sent.done).rejects.toMatchObject({ code: "forbidden" });
    expect(texts()).toEqual(["m1"]);
  });

  it("is sent again under its id after a reconnect until there is a receipt", async () => {
    const sent = room.send("chat", "hello");
    server.reconnect();
    expect(server.socket.last("send").id).toBe(sent.id);
    server.socket.say("receipt", { id: sent.id, version: 9 });
    server.reconnect();
    expect(server.socket.got("send")).toEqual([]);
    expect(await sent.done).toBe(9);
  });

  it("waits with others until the server takes them", async () => {
    const all = Array.from({ length: 100 }, (_, i) => room.send("chat", i));
    expect(server.socket.got("send")).toHaveLength(40);
    server.pass(1_000);
    expect(server.socket.got("send")).toHaveLength(80);
    refuse("overloaded", { id: all[79]?.id });
    server.pass(900);
    expect(server.socket.got("send")).toHaveLength(80);
    server.pass(1_300);
    expect(server.socket.got("send")).toHaveLength(101);
    const ids = server.socket.got("send").map((m) => m.id);
    expect([ids[80], ids.at(-1)]).toEqual([all[79]?.id, all[99]?.id]);
    expect(new Set(ids).size).toBe(100);
  });

  it("is no news once nobody waits for it", async () => {
    const problems: string[] = [];
    client.on("problem", (e) => problems.push(e.code));
    const sent = room.send("chat", "hello");
    server.reconnect();
    refuse("banned", { id: "of a former life", room: "p/ops" });
    expect([room.state, problems]).toEqual(["joining", ["banned"]]);
    refuse("banned", { id: sent.id, room: "p/ops" });
    await expect(sent.done).rejects.toMatchObject({ code: "banned" });
    expect(room.state).toBe("joining");
  });

  it("waits for a connection, but not for ever", async () => {
    server.socket.lose();
    const sent = room.send("chat", "hello");
    server.clock.advance(60_000);
    await expect(sent.done).rejects.toMatchObject({ code: "receipt_timeout" });
    expect(texts()).toEqual(["m1"]);
  });

  it("that is ephemeral is not sent later", async () => {
    const sent = room.send("typing", {}, { ephemeral: true });
    expect(texts()).toEqual(["m1"]);
    server.reconnect();
    await expect(sent.done).rejects.toMatchObject({ code: "not_connected" });
    expect(server.socket.got("send")).toEqual([]);
  });

  it("can be read by whoever waits for its version", async () => {
    const sent = room.send("chat", "hello");
    server.socket.say("receipt", { id: sent.id, version: 7 });
    const read = room.waitFor(await sent.done, 100);
    server.socket.say("message", message(7, { id: sent.id }));
    expect(await read).toBe(7);
  });
});

describe("messages beside rooms", () => {
  it("go to a user, a session or all, and come once each", () => {
    const got: string[] = [];
    client.on("message", (m) => got.push(m.id));
    client.send({ user: "p/_users/eve" }, "note", 1, { ttlMs: 500 });
    expect(server.socket.last("send")).toMatchObject({ user: "p/_users/eve", ttl_ms: 500 });
    const { room: _, ...plain } = message(4);
    server.socket.say("message", { ...plain, user: "p/_users/me" });
    server.socket.say("message", { ...plain, user: "p/_users/me" });
    server.socket.say("message", { ...plain, id: "b", version: 2, broadcast: true });
    expect(got).toEqual(["m4", "b"]);
  });

  it("to a user are read when that is said, with or without a connection", () => {
    const { room: _, ...plain } = message(9);
    client.acknowledge({ ...plain, broadcast: true });
    client.acknowledge({ ...plain, user: "p/_users/me", version: 4 });
    expect(server.socket.got("ack")).toEqual([{ version: 4 }]);
    server.reconnect();
    expect(server.socket.got("ack")).toEqual([]);
    server.socket.lose();
    client.acknowledge({ ...plain, user: "p/_users/me", version: 7 });
    client.acknowledge({ ...plain, user: "p/_users/me", version: 6 });
    server.reconnect();
    expect(server.socket.got("ack")).toEqual([{ version: 7 }]);
  });
});

describe("questions", () => {
  it("are answered", async () => {
    const rooms = Promise.all([client.listRooms(), client.listRooms()]).then((all) => all[1]);
    const stats = client.stats();
    server.socket.say("stats", { rtt_ms: 3, subscriptions: [] });
    server.socket.say("rooms", { rooms: [{ room: "p/ops", members: 2, version: 4 }] });
    expect(await rooms).toHaveLength(1);
    expect((await stats).rtt_ms).toBe(3);
    server.socket.lose();
    await expect(client.stats()).rejects.toThrow("no connection");
  });
});
