import type { AlertMessage } from "@weir/live";
import { describe, expect, it, vi } from "vitest";
import { AlertActions } from "./actions";
import type { Silence } from "./silences";

const ALERT = { id: "3-a b", rule: "high", series: "a/t", phase: "firing", version: 1 } as AlertMessage;

interface Asked {
  readonly path: string;
  readonly method: string | undefined;
  readonly body: unknown;
  readonly key: string | undefined;
}

/** Answers in order; an Error is a connection that fails. */
function actions(...answers: (readonly [status: number, body: unknown] | Error)[]) {
  const asked: Asked[] = [];
  const told: AlertMessage[] = [];
  const silences: Silence[] = [];
  const made = new AlertActions({
    ask: async (path, init) => {
      const headers = init?.headers as Record<string, string> | undefined;
      const body = init?.body === undefined ? undefined : JSON.parse(String(init.body));
      asked.push({ path, method: init?.method, body, key: headers?.["idempotency-key"] });
      const answer = answers.shift();
      if (!answer || answer instanceof Error) throw answer ?? new Error("no answer");
      return new Response(JSON.stringify(answer[1]), { status: answer[0] });
    },
    onAlert: (alert) => told.push(alert),
    onSilence: (silence) => silences.push(silence),
  });
  return { made, asked, told, silences };
}

describe("actions on alerts", () => {
  it("tell of the alert that comes back", async () => {
    const marked = { ...ALERT, phase: "acknowledged" };
    const { made, asked, told } = actions([200, marked]);
    expect(await made.acknowledge(ALERT.id, "looking")).toEqual({ kind: "done" });
    expect(asked).toMatchObject([
      { path: "/v1/alerts/3-a%20b/ack", method: "POST", body: { comment: "looking" } },
    ]);
    expect(told).toEqual([marked]);
  });

  it("work on a page without TLS, which has less of crypto", async () => {
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    const { made, asked } = actions([200, ALERT], [200, ALERT]);
    expect(await made.comment("x", "y")).toEqual({ kind: "done" });
    expect(await made.silence(ALERT, "")).toEqual({ kind: "done" });
    vi.unstubAllGlobals();
    expect(asked[0]?.key).toMatch(/^[0-9a-f]{32}$/);
    expect(asked[1]?.body).toMatchObject({ id: expect.stringMatching(/^ui-[0-9a-f]{32}$/) });
  });

  it("go to their own paths", async () => {
    const { made, asked } = actions([200, ALERT], [200, ALERT], [200, ALERT], [200, ALERT], [200, ALERT]);
    await made.acknowledge("x", "");
    await made.unacknowledge("x");
    await made.comment("x", "the fan");
    await made.assign("x", "");
    await made.find("x");
    expect(asked.map(({ path, method, body }) => [method, path, body])).toEqual([
      ["POST", "/v1/alerts/x/ack", {}],
      ["POST", "/v1/alerts/x/unack", {}],
      ["POST", "/v1/alerts/x/comment", { text: "the fan" }],
      ["POST", "/v1/alerts/x/assign", { to: "" }],
      [undefined, "/v1/alerts/x", undefined],
    ]);
  });

  it("silence the rule on the series for an hour, once whatever happens to the connection", async () => {
    const { made, asked, told } = actions(new Error("gone"), [201, { id: "s", state: "active" }]);
    expect(await made.silence(ALERT, "maintenance")).toEqual({ kind: "done" });
    expect(asked[0]).toEqual(asked[1]);
    expect(asked[0]?.body).toMatchObject({
      series: "a/t",
      rules: ["high"],
      duration: "1h",
      comment: "maintenance",
    });
    expect(told).toEqual([]);
  });

  it("end a silence, and tell of the one that comes back", async () => {
    const over = { id: "s /", series: "a/t", until: 5, state: "over" };
    const { made, asked, told, silences } = actions(new Error("gone"), [200, over]);
    expect(await made.endSilence("s /")).toEqual({ kind: "done" });
    expect(asked).toMatchObject(Array(2).fill({ method: "DELETE", path: "/v1/silences/s%20%2F" }));
    expect([told, silences]).toEqual([[], [over]]);
  });

  it("list the silences, or nothing when the server does not say", async () => {
    const { made } = actions([200, { silences: [{ id: "s" }] }], [503, {}], new Error("gone"), [200, {}]);
    expect(await made.silences()).toEqual([{ id: "s" }]);
    for (let i = 0; i < 3; i++) expect(await made.silences()).toBeNull();
  });

  it("are repeated with the same key, and then given up", async () => {
    const { made, asked } = actions(new Error("gone"), new Error("gone"));
    expect(await made.comment("x", "y")).toMatchObject({ kind: "failed", code: "" });
    expect(asked).toHaveLength(2);
    expect(asked[0]?.key).toBeTruthy();
    expect(asked[0]?.key).toBe(asked[1]?.key);
    await made.comment("x", "y");
    expect(asked[2]?.key).not.toBe(asked[0]?.key);
  });

  it("say when what was stored is not applied yet", async () => {
    const { made, told } = actions([202, { id: "x", version: 4096 }]);
    expect(await made.assign("x", "bob")).toEqual({ kind: "accepted" });
    expect(told).toEqual([]);
  });

  it.each([
    [409, "alert_resolved", /ended meanwhile/],
    [404, "alert_unknown", /no such alert/],
    [403, "forbidden", /do not permit/],
    [503, "not_stored", /Try again/],
    [400, "field_range", /refused: too long/],
  ])("explain a refusal: %d %s", async (status, code, sentence) => {
    const { made } = actions([status, { error: { code, message: "too long" } }]);
    const outcome = await made.comment("x", "y");
    expect(outcome).toMatchObject({ kind: "failed", code });
    expect(outcome.kind === "failed" && outcome.problem).toMatch(sentence);
  });

  it("survive an answer that is no JSON", async () => {
    const made = new AlertActions({
      ask: async () => new Response("<html>", { status: 502 }),
      onAlert: () => expect.unreachable(),
      onSilence: () => expect.unreachable(),
    });
    expect(await made.find("x")).toMatchObject({ kind: "failed", code: "502" });
  });
});
