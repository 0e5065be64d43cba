import { once } from "node:events";
import { type APIRequestContext, expect, type Page, test } from "@playwright/test";
import WebSocket from "ws";
import { Device } from "./device";
import { startWeir, type Weir } from "./process";

// Who may look, against the real server.

let weir: Weir;
let device: Device;

test.beforeAll(async () => {
  weir = await startWeir();
  device = await Device.connect(weir.url, "plant1/press7", weir.key);
  device.stream(100, { temperature: (i) => i % 7 });
});

test.afterAll(async () => {
  device?.close();
  await weir?.stop();
});

const live = (page: Page) => expect(page.getByTestId("link")).toHaveAttribute("data-state", "live");
const charts = (page: Page) => page.getByTestId("chart-card");

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("API key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

interface Made {
  readonly id: string;
  readonly key: string;
  readonly token: string;
}

/** Ask as the administrator. */
async function make(request: APIRequestContext, path: string, data: object): Promise<Made> {
  const headers = { authorization: `Bearer ${weir.key}` };
  const answer = await request.post(weir.url + path, { headers, data });
  expect(answer.status(), await answer.text()).toBe(201);
  return (await answer.json()) as Made;
}

interface Message {
  readonly type: string;
  readonly payload: { readonly code?: string };
}

/** Subscribe as a client of its own would; the answer is the first message after the welcome. */
async function subscribe(token: string, pattern: string): Promise<Message> {
  const socket = new WebSocket(`${weir.url.replace(/^http/, "ws")}/v1/live`, "weir.v1.json", {
    headers: { authorization: `Bearer ${token}` },
  });
  try {
    const answer = new Promise<Message>((take, fail) => {
      socket.on("error", fail);
      socket.on("close", (code) => fail(new Error(`closed with ${code}`)));
      socket.on("message", (data) => {
        const message = JSON.parse(String(data)) as Message;
        if (message.type !== "welcome") take(message);
      });
    });
    await Promise.race([once(socket, "open"), answer]);
    socket.send(JSON.stringify({ type: "subscribe", payload: { id: "a", patterns: [pattern] } }));
    return await answer;
  } finally {
    socket.terminate();
  }
}

test("the link that the server prints signs in, once", async ({ page, browser }) => {
  const problems: string[] = [];
  page.on("pageerror", (e) => problems.push(e.message));
  await page.goto(weir.link);
  await live(page);
  await expect(charts(page)).toHaveCount(1);
  expect(page.url()).not.toContain("#");
  expect(problems).toEqual([]);

  const other = await browser.newPage();
  await other.goto(weir.link);
  await expect(other.getByRole("alert")).toContainText("used already");
  await other.close();
});

test("a key of the data directory signs in, another one does not, and signing out is the end", async ({
  page,
}) => {
  await page.goto(weir.url);
  await signIn(page, "weir_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  await expect(page.getByRole("alert")).toContainText("not a valid API key");
  await signIn(page, weir.key);
  await expect(charts(page)).toHaveCount(1);
  const cookies = await page.context().cookies();
  expect(cookies).toMatchObject([{ name: "weir_session", httpOnly: true, sameSite: "Strict" }]);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByTestId("sign-in-why")).toContainText("You are signed out");
  await page.reload();
  await expect(page.getByTestId("sign-in")).toBeVisible();
  // What the cookie held is of no use any more.
  const headers = { cookie: `weir_session=${cookies[0]?.value}` };
  expect((await fetch(`${weir.url}/v1/session`, { headers })).status).toBe(401);
});

test("a session that expires leads back to the sign-in page", async ({ page, request }) => {
  const rights = { roles: ["viewer"], read: ["plant1/#"] };
  const { token } = await make(request, "/v1/tokens", { sub: "guest", ttl: "5s", ...rights });
  await page.goto(`${weir.url}/?window=300`);
  await signIn(page, token);
  await live(page);
  await expect(page.getByTestId("subject")).toContainText("guest");
  await expect(page.getByTestId("expiring")).toBeVisible();
  await expect(page.getByTestId("sign-in-why")).toContainText("expired");
  await signIn(page, weir.key);
  await live(page);
  await expect(page).toHaveURL(`${weir.url}/?window=300`);
});

test("a key that is revoked takes its sessions along", async ({ page, request }) => {
  const rights = { roles: ["viewer"], read: ["plant1/#"] };
  const { id, key } = await make(request, "/v1/keys", { name: "wall display", ...rights });
  await page.goto(weir.url);
  await signIn(page, key);
  await expect(charts(page)).toHaveCount(1);
  const headers = { authorization: `Bearer ${weir.key}` };
  expect((await request.delete(`${weir.url}/v1/keys/${id}`, { headers })).ok()).toBe(true);
  await expect(page.getByTestId("sign-in-why")).toContainText("revoked", { timeout: 10_000 });
});

test("an open server asks nobody, and says on every page that it is open", async ({ page }) => {
  const open = await startWeir({ open: true });
  try {
    await page.goto(open.url);
    await live(page);
    await expect(page.getByTestId("insecure")).toBeVisible();
    await expect(page.getByTestId("subject")).toHaveCount(0);
  } finally {
    await open.stop();
  }
});

test("whoever may not see a series does not", async ({ page, request }) => {
  const rights = { roles: ["viewer"], read: ["plant2/#"] };
  const { token } = await make(request, "/v1/tokens", { sub: "neighbour", ttl: "10m", ...rights });
  await page.goto(weir.url);
  await signIn(page, token);
  await live(page);
  await expect(page.getByTestId("empty")).toBeVisible();
  await page.goto(`${weir.url}/?pattern=plant1/%23`);
  await expect(page.getByTestId("no-permission")).toContainText("plant2/#");

  // The page asks only for what it may see; that the server keeps the rest to itself shows without the page.
  const snapshot = (credential: string) =>
    request.get(`${weir.url}/v1/snapshot?series=plant1/%23`, {
      headers: { authorization: `Bearer ${credential}` },
    });
  expect((await snapshot(token)).status()).toBe(403);
  expect((await snapshot(weir.key)).status()).toBe(200);
  const refused = { type: "error", payload: { code: "forbidden" } };
  expect(await subscribe(token, "plant1/#")).toMatchObject(refused);
  expect(await subscribe(token, "#")).toMatchObject(refused);
  expect(await subscribe(token, "plant2/#")).toMatchObject({ type: "subscribed" });
  expect(await subscribe(weir.key, "plant1/#")).toMatchObject({ type: "subscribed" });
});
