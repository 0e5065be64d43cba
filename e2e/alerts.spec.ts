import { expect, type Page, test } from "@playwright/test";
import { Device, noise } from "./device";
import { type Server, startFake, startWeir, type Weir } from "./process";

// What an alert tells of itself, and what people do about it.

const entry = (page: Page, series: string) => page.getByTestId("alert").filter({ hasText: series }).first();
const detail = (page: Page) => page.getByTestId("alert-detail");

test.describe("of the real server", () => {
  const series = "plant1/press7/temperature";
  let weir: Weir;
  let device: Device;

  test.beforeAll(async ({ browser }) => {
    weir = await startWeir();
    device = await Device.connect(weir.url, "plant1/press7", weir.key);
    device.stream(50, { temperature: (i) => 60 + noise(i), speed: (i) => 1500 + 10 * noise(i + 13) });
    const page = await browser.newPage();
    await signIn(page, weir.key);
    await page.goto(weir.url);
    // The detector learns before it judges.
    await expect(page.locator(`[data-series="${series}"].chart-card`)).toContainText("expected", {
      timeout: 30_000,
    });
    device.send("temperature", 900);
    await expect(entry(page, series)).toBeVisible();
    await page.close();
  });

  test.afterAll(async () => {
    device?.close();
    await weir?.stop();
  });

  async function signIn(page: Page, token: string): Promise<void> {
    const answer = await page.request.post(`${weir.url}/v1/session`, { data: { token } });
    expect(answer.status()).toBe(200);
  }

  /** The id of the alert of the spike. It may be over by now. */
  async function id(page: Page): Promise<string> {
    const answer = await page.request.get(
      `${weir.url}/v1/alerts?series=${series}&phase=firing&phase=flapping&phase=acknowledged&phase=resolved`,
    );
    const { alerts } = (await answer.json()) as { alerts: { id: string }[] };
    expect(alerts.length).toBeGreaterThan(0);
    return alerts.at(-1)?.id ?? "";
  }

  test("an alert is opened by its address and shows its evidence", async ({ page }) => {
    await signIn(page, weir.key);
    await page.goto(`${weir.url}/?alert=${await id(page)}`);
    await expect(detail(page)).toContainText(series);
    await expect(page.getByTestId("alert-facts")).toContainText("rule");
    await detail(page).getByTestId("instant-link").click();
    await expect(page.getByTestId("focus")).toContainText(series);
    await expect(page.getByTestId("instant")).toBeVisible();
    await expect(page).toHaveURL(/series=.*&at=\d+/);
  });

  test("a link of an alert focuses the series at that instant", async ({ page }) => {
    await signIn(page, weir.key);
    await page.goto(`${weir.url}/#/series/${series}?at=${(Date.now() - 10_000) * 1000}`);
    await expect(page.getByTestId("focus")).toContainText(series);
    await expect(page.getByTestId("instant")).toContainText("marked in the chart");
    await page.getByRole("button", { name: "Remove the mark" }).click();
    await expect(page.getByTestId("instant")).toHaveCount(0);
    await expect(page.getByTestId("focus")).toContainText(series);
  });

  test("who may only look is offered no actions, and is refused them", async ({ page }) => {
    const made = await page.request.post(`${weir.url}/v1/tokens`, {
      headers: { authorization: `Bearer ${weir.key}` },
      data: { sub: "guest", roles: ["viewer"], read: ["#"] },
    });
    const { token } = (await made.json()) as { token: string };
    await signIn(page, token);
    const of = await id(page);
    await page.goto(`${weir.url}/?alert=${of}`);
    await expect(detail(page)).toContainText(series);
    await expect(page.getByTestId("alert-actions")).toHaveCount(0);
    const refused = await page.request.post(`${weir.url}/v1/alerts/${of}/ack`, {
      headers: { origin: weir.url },
      data: {},
    });
    expect(refused.status()).toBe(403);
  });

  test("says of an alert that is not there that it is not", async ({ page }) => {
    await signIn(page, weir.key);
    await page.goto(`${weir.url}/?alert=0-00`);
    await expect(detail(page)).toContainText("no such alert");
    await page.getByRole("button", { name: "All charts" }).click();
    await expect(page.getByTestId("chart-card").first()).toBeVisible();
  });
});

test.describe("of the stand-in server", () => {
  const series = "plant1/line1/press1/temperature";
  let fake: Server;

  test.beforeEach(async ({ page }) => {
    fake = await startFake("--series", "6", "--seed", "3");
    await page.goto(fake.url);
    const card = page.locator(`[data-series="${series}"].chart-card`);
    await expect(card).toContainText("expected");
    await fetch(`${fake.url}/fake/spike?i=0&size=20`);
    await entry(page, series).getByTestId("alert-open").click();
  });

  test.afterEach(() => fake?.stop());

  test("an alert tells why it fired, by words and shapes", async ({ page }) => {
    await expect(detail(page)).toContainText("far above its expected band");
    await expect(detail(page).getByTestId("severity")).toHaveText("critical");
    await expect(detail(page)).toContainText("firing");
    for (const fact of ["value", "expected", "limit", "score", "detector", "late, invalid", "longest gap"])
      await expect(page.getByTestId("alert-facts")).toContainText(fact);
    await expect(detail(page).getByRole("img")).toHaveAccessibleName(
      /readings from .* expected .* to .* limit /,
    );
    await expect(detail(page).getByRole("link", { name: "https://example.org" })).toHaveAttribute(
      "rel",
      /noopener/,
    );
    await page.keyboard.press("Escape");
    await expect(detail(page)).toHaveCount(0);
  });

  test("operators comment, assign, acknowledge and silence, by keyboard", async ({ page }) => {
    const outcome = page.getByTestId("action-outcome");
    await page.getByLabel("Comment", { exact: true }).fill("on my way");
    await page.keyboard.press("Enter");
    await expect(outcome).toHaveText("Commented.");
    await expect(page.getByTestId("notes")).toContainText("on my way");
    await page.getByLabel("Assign to").fill("bob");
    await page.keyboard.press("Enter");
    await expect(detail(page)).toContainText("assigned to bob");
    await page.getByRole("button", { name: "Acknowledge" }).focus();
    await page.keyboard.press("Enter");
    await expect(detail(page)).toContainText("acknowledged by operator");
    await expect(entry(page, series)).toHaveAttribute("data-phase", "acknowledged");
    await expect(page.getByTestId("firing")).toHaveText("0 firing");
    await page.getByRole("button", { name: "Take back" }).click();
    await expect(detail(page)).not.toContainText("acknowledged by operator");
    await page.getByRole("button", { name: "Silence 1 h" }).click();
    await expect(outcome).toHaveText("Silenced for an hour.");
    await expect(detail(page)).toContainText("silenced");
  });

  test("what fails is said, and what was typed stays", async ({ page }) => {
    await fetch(`${fake.url}/fake/refuse`);
    const comment = page.getByLabel("Comment", { exact: true });
    await comment.fill("on my way");
    await page.keyboard.press("Enter");
    await expect(page.getByTestId("action-outcome")).toContainText("not stored");
    await expect(comment).toHaveValue("on my way");
  });

  test("a flapping alert has its count and period as a badge of its own", async ({ page }) => {
    await fetch(`${fake.url}/fake/spike?i=1&size=20`);
    await expect(entry(page, "press1/pressure")).toContainText(/flapping 5× in 10 min, as of \d\d:\d\d/);
  });

  test("alerts come before the charts on a phone, and after what is open", async ({ page }) => {
    await page.setViewportSize({ width: 390, height: 844 });
    const top = async (selector: string) => (await page.locator(selector).boundingBox())?.y ?? 0;
    expect(await top(".alert-detail")).toBeLessThan(await top("#alerts"));
    await page.keyboard.press("Escape");
    await expect(page.locator("#charts")).toBeVisible();
    expect(await top("#alerts")).toBeLessThan(await top("#charts"));
    expect(await top("#charts")).toBeLessThan(await top("#series"));
  });

  test("is read on a narrow screen without scrolling sideways", async ({ page }) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await expect(detail(page)).toBeVisible();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    expect(wide).toBe(false);
  });
});
