import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { Device, noise } from "./device";
import { newDataDirectory, startWeir, type Weir } from "./process";

// An alert's whole life against the real server: a rule raises it, somebody silences it and ends the silence.

const series = "plant1/press7/temperature";
const PIPELINES = `pipelines:
  - match: "plant1/#"
    detector: off
    rules:
      - {name: too-hot, kind: threshold, above: 85, clear_above: 80, severity: critical}
      - {name: no-word, kind: absence, for: 2s, severity: warning}
`;

let weir: Weir;
let device: Device;
let data: string;
/** What the press measures, around which it is noisy. */
let level = 60;

test.beforeAll(async () => {
  data = newDataDirectory();
  writeFileSync(join(data, "pipelines.yaml"), PIPELINES);
  weir = await startWeir({ data });
  device = await Device.connect(weir.url, "plant1/press7", weir.key);
  device.send("humidity", 40);
  device.stream(50, { pressure: (i) => 4 + 0.05 * noise(i), temperature: (i) => level + noise(i) });
});

test.afterAll(async () => {
  device?.close();
  await weir?.stop();
  rmSync(data, { recursive: true, force: true });
});

test.beforeEach(async ({ page }) => {
  const answer = await page.request.post(`${weir.url}/v1/session`, { data: { token: weir.key } });
  expect(answer.status()).toBe(200);
  await page.goto(weir.url);
});

const card = (page: Page) => page.locator(`[data-series="${series}"].chart-card`);
const entry = (page: Page, of = series) => page.getByTestId("alert").filter({ hasText: of }).first();

test("an absence is told in time, and its one reading is drawn without it", async ({ page }) => {
  const absent = entry(page, "plant1/press7/humidity");
  await expect(absent).toContainText("firing");
  await expect(page.locator('[data-series="plant1/press7/humidity"].chart-card')).toContainText(
    "alert · warning",
  );
  await absent.getByTestId("alert-open").click();
  await expect(page.getByTestId("alert-facts")).toContainText(/limit\s*2\.0 s/);
  const chart = page.getByTestId("evidence-chart");
  await expect(chart.locator(".dot")).toHaveCount(1);
  await expect(chart.locator(".limit")).toHaveCount(0);
  await expect(chart.getByRole("img")).toHaveAccessibleName(/^One reading at .* between 40 and 40$/);
});

test("what a rule raises is seen, silenced, and news again when the silence ends", async ({ page }) => {
  await expect(card(page)).toContainText("ok");
  level = 95;
  await expect(entry(page)).toContainText("firing");
  await expect(card(page)).toContainText("alert · critical");
  await expect(page.getByTestId("chart-card").first()).toHaveAttribute("data-series", series);
  await expect(page.getByTestId("table").locator("tbody tr[data-series]").first()).toHaveAttribute(
    "data-series",
    series,
  );
  await expect(entry(page)).toHaveClass(/is-alert/);

  await entry(page).getByTestId("alert-open").click();
  await expect(page.getByTestId("evidence-chart").locator(".limit")).toHaveCount(1);
  await page.getByLabel("Comment", { exact: true }).fill("maintenance");
  await page.getByRole("button", { name: "Silence 1 h" }).click();
  await expect(page.getByTestId("action-outcome")).toHaveText("Silenced for an hour.");
  await page.keyboard.press("Escape");
  const told = /too-hot silenced until .*\d\d:\d\d by \S+: maintenance/;
  await expect(entry(page).getByTestId("silence-note")).toHaveText(told);
  await expect(entry(page)).toHaveClass(/is-in-hand/);

  // It is the server's word, not this page's memory.
  await page.reload();
  await expect(card(page).getByTestId("silence-note")).toHaveText(told);
  const silence = page.getByTestId("silence");
  await expect(silence).toHaveCount(1);
  await expect(silence).toContainText("maintenance");

  await silence.getByRole("button", { name: "End" }).click();
  await silence.getByRole("button", { name: "Keep" }).click();
  await expect(silence).toHaveCount(1);
  await silence.getByRole("button", { name: "End" }).click();
  await silence.getByRole("button", { name: "Yes, end" }).click();
  await expect(page.getByTestId("silences")).toHaveCount(0);
  await expect(page.getByTestId("silence-note")).toHaveCount(0);
  await expect(entry(page)).toHaveClass(/is-alert/);

  level = 60;
  await expect(entry(page)).toContainText("resolved");
  await expect(card(page)).not.toContainText("alert");
});
