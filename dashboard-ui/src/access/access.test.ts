import { beforeEach, describe, expect, it } from "vitest";
import { Access, codeOf } from "./access";
import { type AccessState, ASKING, step } from "./machine";

type Answer = { status: number; body?: object } | "fails" | "redirects";

let answers: Record<string, Answer>;
let asked: { path: string; body: unknown }[];
let states: AccessState[];
let access: Access;

const ALICE = { subject: "alice", method: "cookie", roles: ["viewer"], tenant: "plant1" };
const refusal = (status: number, code: string): Answer => ({
  status,
  body: { error: { code, message: `about ${code}` } },
});
const last = () => states.at(-1) as AccessState;

beforeEach(() => {
  answers = {};
  asked = [];
  states = [];
  access = new Access({
    onState: (s) => states.push(s),
    ask: async (path, init) => {
      const key = `${init?.method ?? "GET"} ${path}`;
      asked.push({ path: key, body: init?.body ? JSON.parse(String(init.body)) : undefined });
      const answer = answers[key] ?? { status: 404 };
      if (answer === "fails") throw new TypeError("network");
      if (answer === "redirects") return { type: "opaqueredirect", status: 0, ok: false } as Response;
      return new Response(answer.status === 204 ? null : JSON.stringify(answer.body ?? {}), {
        status: answer.status,
      });
    },
  });
});

describe("at the beginning", () => {
  it.each<[string, Answer, object]>([
    ["a server without sessions is open", { status: 404 }, { name: "open" }],
    ["nobody in particular is everybody", { status: 200, body: { method: "none" } }, { name: "open" }],
    [
      "a session is told",
      { status: 200, body: ALICE },
      { name: "signed-in", identity: { subject: "alice", roles: ["viewer"], tenant: "plant1" } },
    ],
    [
      "without one the sign-in page comes, without reproach",
      refusal(401, "unauthenticated"),
      { name: "signed-out", why: "", problem: "", busy: false },
    ],
    ["a server that is not there is asked later", "fails", { name: "unknown" }],
    ["a server that is starting, too", refusal(503, "not_ready"), { name: "unknown" }],
  ])("%s", async (_, answer, want) => {
    answers["GET /v1/session"] = answer;
    await access.begin();
    expect(last()).toEqual(want);
  });

  it("says that the session has expired", async () => {
    answers["GET /v1/session"] = refusal(401, "token_expired");
    await access.begin();
    expect(last()).toMatchObject({ name: "signed-out", why: expect.stringContaining("expired") });
  });

  it("exchanges the code of a link, once", async () => {
    answers["POST /v1/session"] = { status: 200, body: { ...ALICE, subject: "operator" } };
    await access.begin("c0de");
    expect(asked).toEqual([{ path: "POST /v1/session", body: { code: "c0de" } }]);
    expect(last()).toMatchObject({ name: "signed-in", identity: { subject: "operator" } });
  });

  it("says of a spent link that it is, unless one is signed in", async () => {
    answers["POST /v1/session"] = refusal(401, "token_invalid");
    answers["GET /v1/session"] = refusal(401, "unauthenticated");
    await access.begin("c0de");
    expect(last()).toMatchObject({ name: "signed-out", problem: expect.stringContaining("used already") });
    answers["GET /v1/session"] = { status: 200, body: ALICE };
    await access.begin("c0de");
    expect(last()).toMatchObject({ name: "signed-in", identity: { subject: "alice" } });
  });
});

describe("signing in", () => {
  beforeEach(async () => {
    answers["GET /v1/session"] = refusal(401, "unauthenticated");
    await access.begin();
  });

  it("presents what was typed and keeps nothing of it", async () => {
    answers["POST /v1/session"] = { status: 200, body: ALICE };
    await access.signIn("weir_a_secret");
    expect(asked.at(-1)).toEqual({ path: "POST /v1/session", body: { token: "weir_a_secret" } });
    expect(states.map((s) => s.name)).toEqual(["signed-out", "signed-out", "signed-in"]);
    expect(states[1]).toMatchObject({ busy: true });
    expect(JSON.stringify(access)).not.toContain("secret");
  });

  it.each<[Answer, string]>([
    [refusal(401, "token_invalid"), "not a valid API key"],
    [refusal(401, "token_expired"), "has expired"],
    [refusal(401, "token_revoked"), "has been revoked"],
    [refusal(429, "overloaded"), "about overloaded"],
    [{ status: 502 }, "status 502"],
    ["fails", "does not answer"],
  ])("tells what is wrong: %j", async (answer, want) => {
    answers["POST /v1/session"] = answer;
    await access.signIn("x");
    expect(last()).toMatchObject({
      name: "signed-out",
      busy: false,
      problem: expect.stringContaining(want),
    });
  });

  it("offers a sign-in service when the server has one", async () => {
    expect(await access.service()).toBe("none");
    answers["GET /v1/session/oidc"] = "redirects";
    expect(await access.service()).toBe("ready");
    answers["GET /v1/session/oidc"] = refusal(503, "not_ready");
    expect(await access.service()).toBe("silent");
  });
});

describe("signed in", () => {
  beforeEach(async () => {
    answers["GET /v1/session"] = { status: 200, body: ALICE };
    await access.begin();
  });

  it("signs out", async () => {
    answers["DELETE /v1/session"] = { status: 204 };
    await access.signOut();
    expect(last()).toMatchObject({ name: "signed-out", why: "You are signed out.", problem: "" });
  });

  it("does not claim a sign-out that the server did not confirm", async () => {
    answers["DELETE /v1/session"] = "fails";
    await access.signOut();
    expect(last()).toMatchObject({ name: "signed-out", problem: expect.stringContaining("did not confirm") });
  });

  it.each([
    ["token_expired", "expired"],
    ["token_revoked", "revoked"],
    ["auth_timeout", "ended"],
  ])("goes back to the sign-in page when the server closes with %s", (code, why) => {
    access.required(code);
    expect(last()).toMatchObject({ name: "signed-out", why: expect.stringContaining(why) });
    access.required("unauthenticated");
    expect(states).toHaveLength(2);
  });
});

describe("a late answer", () => {
  it("does not undo a sign-in", () => {
    const signedIn = step(ASKING, { type: "answered", identity: { ...ALICE } });
    expect(step(signedIn, { type: "unanswered" })).toBe(signedIn);
    expect(step(signedIn, { type: "rejected", problem: "x" })).toBe(signedIn);
  });
});

describe("operator's link", () => {
  it.each([
    ["#code=abc", "abc"],
    ["#x=1&code=a%2Bb", "a+b"],
    ["", ""],
    ["#alerts", ""],
  ])("%s", (fragment, code) => {
    expect(codeOf(fragment)).toBe(code);
  });
});
