import { expect, type Page, test } from "@playwright/test";
import { type Server, startFake } from "./process";

// Signing in and out, against the stand-in of dashboard-ui/dev, whose keys are in fake-session.mjs.

const KEY = "weir_operator_secret";

let fake: Server;
test.afterEach(() => fake.stop());

const live = (page: Page) => expect(page.getByTestId("link")).toHaveAttribute("data-state", "live");

async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("API key or token").fill(key);
  await page.keyboard.press("Enter");
}

test("a link signs in once, and is gone from the address at once", async ({ page, browser }) => {
  fake = await startFake("--guard");
  await page.goto(`${fake.url}/?window=300#code=once`);
  await live(page);
  await expect(page).toHaveURL(`${fake.url}/?window=300`);
  await expect(page.getByTestId("subject")).toContainText("operator");
  await page.reload(); // the session is a cookie
  await live(page);

  const other = await (await browser.newContext()).newPage();
  await other.goto(`${fake.url}/#code=once`);
  await expect(other.getByRole("alert")).toContainText("used already");
  await expect(other).toHaveURL(`${fake.url}/`);
  await other.context().close();
});

test("a link opened in a page that is there signs in, too", async ({ page }) => {
  fake = await startFake("--guard");
  await page.goto(fake.url);
  await expect(page.getByTestId("sign-in")).toBeVisible();
  await page.goto(`${fake.url}/#code=again`);
  await live(page);
  await expect(page).toHaveURL(`${fake.url}/`);
});

test("a pasted key signs in, by keyboard alone, and is kept nowhere", async ({ page }) => {
  fake = await startFake("--guard");
  const sent: string[] = [];
  page.on("request", (r) => sent.push(`${r.url()} ${JSON.stringify(r.headers())}`));
  await page.goto(`${fake.url}/?pattern=plant1/%23&window=900`);
  await expect(page.getByLabel("API key or token")).toBeFocused();
  await page.keyboard.insertText(` ${KEY}\n`);
  await page.keyboard.press("Enter");
  await live(page);
  await expect(page).toHaveURL(`${fake.url}/?pattern=plant1/%23&window=900`);
  await expect(page.getByTestId("subject")).toContainText("alice.weaver@example.com");
  const kept = await page.evaluate(() =>
    JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, document.body.innerHTML]),
  );
  expect(kept).not.toContain("secret");
  expect(kept).not.toContain("weir_session");
  expect(sent.join("\n")).not.toContain("secret"); // it is in one body only
});

test("a refused key is said so, and another one can be tried", async ({ page }) => {
  fake = await startFake("--guard");
  await page.goto(fake.url);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toContainText("Paste an API key");
  await signIn(page, "weir_wrong_secret");
  await expect(page.getByRole("alert")).toContainText("not a valid API key");
  const input = page.getByLabel("API key or token");
  await expect(input).toBeFocused();
  await expect(input).toHaveAttribute("aria-invalid", "true");
  await expect(input).toHaveAccessibleDescription(/not a valid/);
  await signIn(page, KEY);
  await live(page);
});

test("signing out ends the session here and in the other tab", async ({ page, context }) => {
  fake = await startFake("--guard");
  await page.goto(`${fake.url}/#code=once`);
  await live(page);
  const tab = await context.newPage();
  await tab.goto(fake.url);
  await live(tab);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByTestId("sign-in-why")).toContainText("You are signed out");
  expect(await context.cookies()).toEqual([]);
  await tab.reload();
  await expect(tab.getByTestId("sign-in")).toBeVisible();
});

test("an expired session leads to the sign-in page, with the reason, and back to the same view", async ({
  page,
}) => {
  fake = await startFake("--guard");
  await page.goto(`${fake.url}/?window=300&series=plant1/line1/press1/temperature#code=once`);
  await expect(page.getByTestId("focus")).toBeVisible();
  await fetch(`${fake.url}/fake/expiring`);
  await expect(page.getByTestId("expiring")).toContainText("Your session ends at");
  await fetch(`${fake.url}/fake/expire`);
  await expect(page.getByTestId("sign-in-why")).toContainText("expired");
  await signIn(page, KEY);
  await live(page);
  await expect(page.getByTestId("focus")).toContainText("plant1/line1/press1/temperature");
  await expect(page.getByRole("button", { name: "5 min", exact: true })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
  await fetch(`${fake.url}/fake/revoke`);
  await expect(page.getByTestId("sign-in-why")).toContainText("revoked");
});

test("shows what the credentials permit, and tells when that is nothing", async ({ page }) => {
  fake = await startFake("--guard");
  await page.goto(fake.url);
  await signIn(page, "weir_viewer_secret");
  await live(page);
  const names = page.getByTestId("table").locator("tbody tr[data-series]");
  await expect(names.first()).toBeVisible();
  for (const row of await names.all()) await expect(row).toHaveAttribute("data-series", /^plant1\//);

  await page.goto(`${fake.url}/?pattern=plant2/%23`);
  await expect(page.getByTestId("no-permission")).toContainText("nothing of plant2/#");
  await page.getByRole("button", { name: "plant1/#" }).click();
  await expect(page.getByTestId("chart-card").first()).toBeVisible();

  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, "weir_nobody_secret");
  await expect(page.getByTestId("no-permission")).toContainText("no series at all");
});

test("offers the sign-in service where there is one", async ({ page }) => {
  fake = await startFake("--guard", "--service");
  await page.goto(fake.url);
  await expect(page.getByRole("link", { name: "Sign in with your organisation" })).toHaveAttribute(
    "href",
    "/v1/session/oidc",
  );
});

test("fits a phone", async ({ page }) => {
  fake = await startFake("--guard", "--service");
  await page.setViewportSize({ width: 340, height: 640 });
  await page.goto(fake.url);
  await expect(page.getByTestId("sign-in")).toBeVisible();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(340);
  await signIn(page, KEY);
  await live(page);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(340);
});
