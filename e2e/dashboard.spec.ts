import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import { expect, type Page, test } from "@playwright/test";
import { Device, noise } from "./device";
import { freePort, newDataDirectory, startWeir, type Weir } from "./process";

// The dashboard against the real server.

let weir: Weir;
let device: Device;

test.beforeAll(async () => {
  weir = await startWeir();
  device = await Device.connect(weir.url, "plant1/press7", weir.key);
  device.stream(50, {
    temperature: (i) => 60 + noise(i),
    pressure: (i) => 4 + 0.05 * noise(i + 7),
    speed: (i) => 1500 + 10 * noise(i + 13),
  });
});

test.afterAll(async () => {
  device?.close();
  await weir?.stop();
});

// A browser that is signed in.
test.beforeEach(({ page }) => signIn(page, weir));

async function signIn(page: Page, to: Weir): Promise<void> {
  const answer = await page.request.post(`${to.url}/v1/session`, { data: { token: to.key } });
  expect(answer.status()).toBe(200);
}

const card = (page: Page, metric: string) =>
  page.locator(`[data-series="plant1/press7/${metric}"].chart-card`);

test("shows live charts without configuration within 5 s, and they move", async ({ page }) => {
  const problems: string[] = [];
  page.on("console", (m) => m.type() === "error" && problems.push(m.text()));
  page.on("pageerror", (e) => problems.push(e.message));
  await page.goto(weir.url);
  await expect(page.getByTestId("link")).toHaveAttribute("data-state", "live", { timeout: 5000 });
  await expect(page.getByTestId("chart-card")).toHaveCount(3, { timeout: 5000 });

  const temperature = card(page, "temperature");
  const value = await temperature.getByTestId("last").textContent();
  await expect(temperature.getByTestId("last")).not.toHaveText(value ?? "");

  const picture = () => temperature.locator("canvas").evaluate((c: HTMLCanvasElement) => c.toDataURL());
  const before = await picture();
  await expect.poll(async () => (await picture()) !== before).toBe(true);
  await expect(page.getByTestId("data-age")).toHaveText(/^\d+ ms$/);
  // The content security policy, too, would be heard of here.
  expect(problems).toEqual([]);
});

test("raises an alert for a planted spike, with its evidence, and sorts the series worst first", async ({
  page,
}) => {
  await page.goto(weir.url);
  // The detector learns before it judges.
  await expect(card(page, "temperature")).toContainText("expected");
  device.send("temperature", 900);

  const alert = page.getByTestId("alert").filter({ hasText: "plant1/press7/temperature" }).first();
  await expect(alert).toContainText("firing");
  await expect(alert).toContainText("900");
  await expect(page.getByTestId("firing")).toHaveText(/[1-9]\d* firing/);

  const worst = page.getByTestId("table").locator("tbody tr[data-series]").first();
  await expect(worst).toHaveAttribute("data-series", "plant1/press7/temperature");
  await expect(worst).toHaveAttribute("data-state", "alert");
  // The spike is one reading among many, and still in the window's maximum.
  await expect(worst.getByRole("cell").nth(5)).toHaveText("900");
  await expect(page.getByTestId("chart-card").first()).toHaveAttribute(
    "data-series",
    "plant1/press7/temperature",
  );
});

test("opens a series in a large chart by keyboard, and goes back", async ({ page }) => {
  await page.goto(weir.url);
  const row = page.getByTestId("table").locator("tbody tr[data-series]");
  await expect(row).toHaveCount(3);
  await page.keyboard.press("/");
  await page.keyboard.type("speed");
  await expect(row).toHaveCount(1);
  await row.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("focus")).toContainText("plant1/press7/speed");
  await expect(page).toHaveURL(/series=plant1\/press7\/speed/);
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("chart-card")).toHaveCount(1);
});

test("follows the pattern, and says what is wrong with one", async ({ page }) => {
  await page.goto(`${weir.url}/?pattern=plant1/%2B/pressure`);
  await expect(page.getByTestId("chart-card")).toHaveCount(1);
  const pattern = page.getByLabel("Pattern", { exact: true });
  await pattern.fill("plant1/press+");
  await expect(page.locator("#pattern-problem")).toContainText("whole segment");
  await pattern.fill("plant1/#");
  await pattern.press("Enter");
  await expect(page.getByTestId("chart-card")).toHaveCount(3);
});

test("comes back by itself when the server does", async ({ page }) => {
  const same = { port: await freePort(), data: newDataDirectory() };
  const first = await startWeir(same);
  await signIn(page, first);
  await page.goto(first.url);
  await expect(page.getByTestId("link")).toHaveAttribute("data-state", "live");
  await first.stop();
  await expect(page.getByTestId("reconnecting")).toBeVisible();
  const second = await startWeir(same);
  try {
    await expect(page.getByTestId("link")).toHaveAttribute("data-state", "live");
  } finally {
    await second.stop();
    rmSync(same.data, { recursive: true, force: true });
  }
});

test("a page of a foreign origin cannot open the live connection", async ({ page }) => {
  const foreign: HttpServer = createServer((_, res) => {
    res.setHeader("content-type", "text/html");
    res.end("<!doctype html><title>foreign</title>");
  }).listen(0, "127.0.0.1");
  await once(foreign, "listening");
  const address = foreign.address();
  const port = typeof address === "object" && address ? address.port : 0;
  try {
    await page.goto(`http://127.0.0.1:${port}/`);
    const outcome = await page.evaluate(connect, `${weir.url.replace(/^http/, "ws")}/v1/live`);
    expect(outcome).toEqual({ code: 1008, reason: "origin_refused", frames: 0 });
  } finally {
    foreign.close();
  }
});

/** Runs in the page: how a connection attempt ends. */
function connect(url: string): Promise<{ code: number; reason: string; frames: number }> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, "weir.v1.json");
    let frames = 0;
    socket.onmessage = () => frames++;
    socket.onclose = ({ code, reason }) => resolve({ code, reason, frames });
  });
}
