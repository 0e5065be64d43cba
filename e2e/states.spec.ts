import { expect, test } from "@playwright/test";
import { type Server, startFake } from "./process";

// States of the dashboard that a server does not get into on demand, against the stand-in of dashboard-ui/dev.
// It serves dashboard-ui/dist, so build that first.

let fake: Server;
test.afterEach(() => fake.stop());

test("says how to send something while there is no series", async ({ page }) => {
  fake = await startFake("--series", "0");
  await page.goto(fake.url);
  await expect(page.getByTestId("empty")).toContainText(`curl ${fake.url}/v1/readings`);
  await expect(page.getByTestId("empty")).toContainText("weir simulate");
});

test("warns on every page of a server that is open to everyone", async ({ page }) => {
  fake = await startFake("--insecure");
  await page.goto(fake.url);
  await expect(page.getByTestId("insecure")).toContainText("--insecure-open");
});

test("tells that the server fell silent, while data age grows", async ({ page }) => {
  fake = await startFake();
  await page.goto(fake.url);
  await expect(page.getByTestId("data-age")).toHaveText(/ms$/);
  await expect(page.getByTestId("behind")).toHaveText("0 ms");
  await fetch(`${fake.url}/fake/mute`);
  await expect(page.getByTestId("link")).toHaveAttribute("data-state", "stale");
  await expect(page.getByTestId("data-age")).toHaveText(/^\d+(\.\d)? s$/);
  await expect(page.getByTestId("behind")).toHaveText("–");
});

test("subscribes anew after a gap, and goes on", async ({ page }) => {
  fake = await startFake();
  const subscribes: string[] = [];
  page.on("websocket", (ws) =>
    ws.on("framesent", ({ payload }) => {
      if (String(payload).includes('"subscribe"')) subscribes.push(String(payload));
    }),
  );
  await page.goto(fake.url);
  await expect(page.getByTestId("chart-card")).toHaveCount(12);
  await expect(page.getByTestId("resync")).toHaveText("none");
  await fetch(`${fake.url}/fake/gap`);
  await expect(page.getByTestId("resync")).toHaveText(/ ago$/);
  await expect.poll(() => subscribes.length).toBe(2);
  await expect(page.getByTestId("data-age")).toHaveText(/ms$/);
});

test("holds ten thousand series with few elements", async ({ page }) => {
  fake = await startFake("--series", "10000", "--hz", "1");
  await page.goto(fake.url);
  const table = page.getByTestId("table");
  await expect(table).toHaveAttribute("aria-rowcount", "10001");
  expect(await table.locator("tr").count()).toBeLessThan(40);
  await table.locator("tbody tr[data-series]").first().focus();
  await page.keyboard.press("End");
  await expect(table.locator("tr[data-index='9999']")).toBeFocused();
});

test("turns pages within those there are, and leaves a pattern half typed when it is escaped", async ({
  page,
}) => {
  fake = await startFake("--series", "18");
  await page.goto(`${fake.url}/?page=9`);
  const pages = page.getByRole("navigation", { name: "Pages of charts" });
  await expect(pages).toContainText("13–18 of 18");
  await page.keyboard.press("]");
  await page.keyboard.press("[");
  await expect(pages).toContainText("1–12 of 18");
  await page.keyboard.press("p");
  await page.keyboard.type("nothing/he");
  await page.keyboard.press("Escape");
  await expect(page.getByLabel("Pattern")).toHaveValue("#");
  await expect(page).not.toHaveURL(/pattern/);
});

test("fits a phone without sideways scrolling", async ({ page }) => {
  fake = await startFake();
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(fake.url);
  await expect(page.getByTestId("chart-card").first()).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
