import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { LiveClient, LiveOptions, Message, Room } from "../../src/index.ts";
import { serve } from "../../src/worker.ts";
import { LiveWorker } from "../../src/worker-client.ts";
import type { FromWorker, Port, ToWorker } from "../../src/worker-protocol.ts";
import { Cable, connect, make, startWeir, until, type Weir } from "./plant.ts";

let weir: Weir;
const clients: LiveClient[] = [];

beforeAll(async () => {
  weir = await startWeir();
});
afterAll(() => weir?.stop());
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

/** Gives credentials of somebody of the tenant plant1. */
function tokensOf(name: string, role: string): () => Promise<string> {
  const rights = { sub: name, tenant: "plant1", roles: [role], read: ["plant1/#"], ttl: "10m" };
  return async () => (await make(weir, "/v1/tokens", rights)).token;
}

function person(name: string, role: string, options: Partial<LiveOptions> = {}): LiveClient {
  const client = connect(weir, { getToken: tokensOf(name, role), ...options });
  clients.push(client);
  client.connect();
  return client;
}

const textOf = (m: Message) => (m.payload as { text: string }).text;
/** What a room tells, from now on. */
function heard(room: Room): string[] {
  const all: string[] = [];
  room.on("message", (m) => all.push(textOf(m)));
  room.on("missed", () => all.push("missed"));
  return all;
}
const say = (room: Room, text: string) => room.send("chat", { text }).done;
const users = (room: Room) => [...room.members.values()].map((m) => m.user).sort();

describe("a room", () => {
  it("tells who is there and its last messages, and then what is said", async () => {
    const alice = person("alice", "operator").room("plant1/talk");
    await alice.join();
    for (const text of ["one", "two", "three"]) await say(alice, text);
    const bob = person("bob", "viewer").room("plant1/talk");
    const told = heard(bob);
    const { messages, members } = await bob.join(2);
    expect(messages?.map(textOf)).toEqual(["two", "three"]);
    expect(messages?.[0]?.from.user).toBe("plant1/_users/alice");
    expect(members.map((m) => m.user).sort()).toEqual(["plant1/_users/alice", "plant1/_users/bob"]);
    await say(alice, "four");
    await until(() => told.length === 3, "what was said");
    expect(told).toEqual(["two", "three", "four"]);
    expect(bob.timeline().map(textOf)).toEqual(["two", "three", "four"]);
    const rooms = await clients[1]?.listRooms();
    expect(rooms?.find((r) => r.room === "plant1/talk")).toMatchObject({ members: 2, version: bob.version });
  });

  it("lets who writes read it: by the receipt's version", async () => {
    const room = person("alice", "operator").room("plant1/own");
    await room.join();
    const { done, id } = room.send("chat", { text: "hello" });
    expect(room.timeline()).toMatchObject([{ id, pending: true }]);
    const version = await done;
    expect(await room.waitFor(version, 5_000)).toBe(version);
    expect(room.timeline()).toMatchObject([
      { id, pending: false, version, from: { user: "plant1/_users/alice" } },
    ]);
    const later = room.waitFor(version + 1, 20);
    await expect(later).rejects.toMatchObject({ name: "WaitTimeout" });
  });

  it("takes back what is refused, and says why", async () => {
    const room = person("bob", "viewer").room("plant1/talk");
    await room.join(0);
    const { done } = room.send("chat", { text: "may I" });
    expect(room.timeline().map(textOf)).toEqual(["may I"]);
    await expect(done).rejects.toMatchObject({ name: "Refused", code: "forbidden" });
    expect(room.timeline()).toEqual([]);
    expect(room.state).toBe("joined");
  });

  it("does not tell who excludes itself, and keeps nothing that is ephemeral", async () => {
    const alice = person("alice", "operator").room("plant1/quiet");
    const bob = person("bob", "viewer").room("plant1/quiet");
    await Promise.all([alice.join(), bob.join()]);
    const [toAlice, toBob] = [heard(alice), heard(bob)];
    const version = await alice.send("chat", { text: "to others" }, { excludeSelf: true }).done;
    expect(await alice.waitFor(version, 5_000)).toBe(version);
    await alice.send("typing", { text: "…" }, { ephemeral: true }).done;
    await say(alice, "to all");
    await until(() => toBob.length === 3 && toAlice.length === 2, "what was said");
    expect(toBob).toEqual(["to others", "…", "to all"]);
    expect(toAlice).toEqual(["…", "to all"]);
    expect(alice.timeline().map(textOf)).toEqual(["to others", "to all"]);
    const { messages } = await person("carol", "viewer").room("plant1/quiet").join();
    expect(messages?.map(textOf)).toEqual(["to others", "to all"]);
  });

  it("tells who comes and goes", async () => {
    const room = person("alice", "operator").room("plant1/door");
    const events: string[] = [];
    room.on("presence", ({ event, user }) => events.push(`${user} ${event}`));
    await room.join();
    const bob = person("bob", "viewer");
    await bob.room("plant1/door").join();
    await until(() => room.members.size === 2, "bob");
    bob.room("plant1/door").leave();
    await until(() => room.members.size === 1, "that bob has left");
    await bob.room("plant1/door").join();
    bob.close();
    await until(() => events.length === 4, "that bob has gone");
    expect(events).toEqual(["joined", "left", "joined", "left"].map((event) => `plant1/_users/bob ${event}`));
    expect(users(room)).toEqual(["plant1/_users/alice"]);
  });

  it("is left by who is kicked, and closed to who is banned until that ends", async () => {
    const room = person("mod", "admin").room("plant1/strict");
    await room.join();
    const bob = person("bob", "operator").room("plant1/strict");
    await bob.join();
    await room.kick("plant1/_users/bob", "spam").done;
    expect(users(room)).toEqual(["plant1/_users/mod"]);
    await until(() => bob.state === "idle", "that bob is out");
    await bob.join();
    await until(() => room.members.size === 2, "bob again");
    room.ban("plant1/_users/bob", { forMs: 1_500 });
    await until(() => bob.state === "idle", "that bob is out");
    await expect(bob.join()).rejects.toMatchObject({ name: "Refused", code: "banned" });
    expect(bob.state).toBe("refused");
    await expect(say(bob, "let me in")).rejects.toMatchObject({ code: "banned" });
    const meek = person("carol", "viewer").room("plant1/strict");
    await meek.join();
    await expect(meek.kick("plant1/_users/mod").done).rejects.toMatchObject({ code: "forbidden" });
    expect(meek.state).toBe("joined");
    const ended = async () => (await bob.join().catch(() => null)) !== null;
    while (!(await ended())) await new Promise((again) => setTimeout(again, 100));
    expect(bob.state).toBe("joined");
  });

  it("of another tenant may not be joined", async () => {
    const room = person("alice", "admin").room("plant2/ops");
    await expect(room.join()).rejects.toMatchObject({ code: "forbidden" });
    const problem = person("alice", "admin").room("plant1//ops");
    await expect(problem.join()).rejects.toMatchObject({ name: "Refused" });
  });
});

describe("after a cut", () => {
  it("each message is told once and in order, and those sent meanwhile are stored once", async () => {
    const cable = new Cable();
    const alice = person("alice", "operator").room("plant1/cut");
    const client = person("bob", "operator", { WebSocket: cable.WebSocket });
    const bob = client.room("plant1/cut");
    await Promise.all([alice.join(), bob.join()]);
    const [toAlice, toBob] = [heard(alice), heard(bob)];
    const wanted: string[] = [];
    const own: Promise<number>[] = [];
    for (let round = 0; round < 5; round++) {
      cable.cut();
      for (let i = 0; i < 20; i++) {
        wanted.push(`a${round}.${i}`);
        await say(alice, `a${round}.${i}`);
      }
      own.push(say(bob, `b${round}`));
      await until(() => bob.state === "joined", "the room again");
    }
    await Promise.all(own);
    await until(() => toBob.length === 105 && toAlice.length === 105, "all messages");
    expect(toBob).toEqual(toAlice);
    expect(toBob.filter((t) => t.startsWith("a"))).toEqual(wanted);
    expect(toBob.filter((t) => t.startsWith("b"))).toEqual(["b0", "b1", "b2", "b3", "b4"]);
    expect(alice.timeline().map(textOf)).toEqual(bob.timeline().map(textOf));
  });

  it("longer than the room's history, the rest comes from the log", async () => {
    const cable = new Cable();
    const alice = person("alice", "operator").room("plant1/long");
    const client = person("bob", "viewer", { WebSocket: cable.WebSocket });
    const bob = client.room("plant1/long");
    await Promise.all([alice.join(), bob.join()]);
    const told = heard(bob);
    await say(alice, "before");
    await until(() => told.length === 1, "what was said before");
    client.close();
    await Promise.all(Array.from({ length: 150 }, (_, i) => say(alice, `${i}`)));
    client.connect();
    await until(() => told.length === 151, "150 messages");
    expect(told.slice(1)).toEqual(alice.timeline().slice(1).map(textOf));
    expect(told).not.toContain("missed");
  });

  it("over server-sent events, the same", async () => {
    const alice = person("alice", "operator").room("plant1/sse");
    let abort = () => {};
    const client = person("bob", "operator", {
      transports: ["sse"],
      fetch: (url, init) => {
        const stop = new AbortController();
        if (String(url).includes("/v1/events")) abort = () => stop.abort();
        init?.signal?.addEventListener("abort", () => stop.abort());
        return fetch(url, { ...init, signal: stop.signal });
      },
    });
    const bob = client.room("plant1/sse");
    await alice.join();
    await bob.join();
    const [toAlice, toBob] = [heard(alice), heard(bob)];
    for (let round = 0; round < 3; round++) {
      abort();
      for (let i = 0; i < 5; i++) await say(alice, `${round}.${i}`);
      await until(() => bob.state === "joined" && toBob.length === toAlice.length, "what was missed");
    }
    const version = await say(bob, "hello");
    await bob.waitFor(version, 5_000);
    await until(() => toAlice.length === 16 && toBob.length === 16, "the answer");
    expect(toBob).toEqual(toAlice);
  });
});

describe("a page whose connection a worker holds", () => {
  it("is told each message once and in order over cuts, and moderates with receipts", async () => {
    const cable = new Cable();
    const { port1, port2 } = new MessageChannel();
    serve(port2 as unknown as Port<ToWorker, FromWorker>, {
      WebSocket: cable.WebSocket,
      backoff: { base: 20, cap: 100 },
    });
    const page = new LiveWorker(port1 as unknown as Port<FromWorker, ToWorker>, {
      url: weir.url,
      getToken: tokensOf("mod", "admin"),
    });
    try {
      const alice = person("alice", "operator").room("plant1/worker");
      const room = page.room("plant1/worker");
      await Promise.all([alice.join(), room.join()]);
      const [toAlice, told] = [heard(alice), heard(room)];
      for (let round = 0; round < 3; round++) {
        cable.cut();
        const own = say(room, `p${round}`);
        for (let i = 0; i < 5; i++) await say(alice, `a${round}.${i}`);
        expect(await room.waitFor(await own, 30_000)).toBe(await own);
      }
      await until(() => told.length === 18 && toAlice.length === 18, "all messages");
      expect(told).toEqual(toAlice);
      expect(room.timeline().map(textOf)).toEqual(alice.timeline().map(textOf));
      cable.cut();
      await room.kick("plant1/_users/alice").done;
      await until(() => alice.state === "idle" && room.members.size === 1, "that alice is out");
      expect([users(room), room.state]).toEqual([["plant1/_users/mod"], "joined"]);
    } finally {
      page.close();
      port1.close();
    }
  });
});

describe("messages to a user", () => {
  it("wait for who is away, and come until they are read", async () => {
    const alice = person("alice", "operator");
    await alice.ready();
    for (const text of ["first", "second"])
      await alice.send({ user: "plant1/_users/dora" }, "note", { text }).done;
    const inbox = async (count: number) => {
      const dora = person("dora", "viewer");
      const got: Message[] = [];
      dora.on("message", (m) => got.push(m));
      await dora.ready();
      await until(() => got.length >= count, `${count} messages`);
      return { dora, got };
    };
    const { dora, got } = await inbox(2);
    expect(got.map(textOf)).toEqual(["first", "second"]);
    dora.acknowledge(got[0] as Message);
    // It is on its way when what is asked after it is answered.
    await dora.listRooms();
    // The acknowledgement is told to all: somebody who comes too early hears of the first once more.
    for (let seen = ""; seen !== "second"; ) {
      const again = await inbox(1);
      seen = again.got.map(textOf).join();
      again.dora.close();
    }
  });

  it("and to a session or all come once", async () => {
    const alice = person("alice", "operator");
    const bob = person("bob", "viewer");
    const got: string[] = [];
    let session = "";
    bob.on("welcome", (w) => {
      session = w.session;
    });
    bob.on("message", (m) => got.push(textOf(m)));
    await Promise.all([alice.ready(), bob.ready()]);
    await alice.send({ session }, "note", { text: "to the session" }).done;
    await alice.send({ broadcast: true }, "note", { text: "to all" }).done;
    await until(() => got.length === 2, "both");
    expect(got.sort()).toEqual(["to all", "to the session"]);
  });
});
