// Pictures of every state of the dashboard against the fake server: node dev/screenshots.mjs [DIR]

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { chromium } from "@playwright/test";

const dir = process.argv[2] ?? "test-results/shots";
mkdirSync(dir, { recursive: true });
const wide = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

const running = [];
process.on("exit", () => {
  for (const child of running) child.kill();
});
async function fake(port, ...flags) {
  const child = spawn(process.execPath, ["dev/fake-server.mjs", "--port", String(port), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  running.push(child);
  child.once("exit", (code) => {
    if (code) process.exit(code);
  });
  await once(child.stdout, "data");
  return `http://127.0.0.1:${port}/`;
}

const [fleet, open, none, large, guarded] = await Promise.all([
  fake(7431),
  fake(7432, "--insecure", "--series", "18"),
  fake(7433, "--series", "0"),
  fake(7434, "--series", "10000", "--hz", "2"),
  fake(7435, "--guard", "--service"),
]);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});

async function shot(name, url, { viewport = wide, scheme = "light", wait = 3000, full = false, act } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, deviceScaleFactor: 2 });
  const page = await context.newPage();
  page.on("pageerror", (e) => process.stdout.write(`${name}: ${e.message}\n`));
  await page.goto(url);
  await page.waitForTimeout(wait);
  await act?.(page);
  await page.screenshot({ path: `${dir}/${name}.png`, fullPage: full });
  await context.close();
}

const get = (url) => fetch(url).then((r) => r.text());
const after = (control, ms) => async (page) => {
  await get(control);
  await page.waitForTimeout(ms);
};
const focused = `${fleet}?series=plant1/line1/press1/temperature`;
const signIn = (key, ms) => async (page) => {
  await page.getByLabel("API key or token").fill(key);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(ms);
};
const revoked = async (page) => {
  await signIn("weir_operator_secret", 1500)(page);
  await get(`${guarded}fake/revoke`);
  await page.waitForTimeout(500);
};
const expiring = async (page) => {
  await signIn("weir_operator_secret", 2000)(page);
  await get(`${guarded}fake/expiring`);
  await page.waitForTimeout(500);
};
await shot("sign-in", guarded, { wait: 500 });
await shot("sign-in-dark-refused", guarded, { wait: 500, scheme: "dark", act: signIn("wrong", 500) });
await shot("sign-in-phone-revoked", guarded, { wait: 500, viewport: phone, act: revoked });
await shot("signed-in-expiring", guarded, { wait: 500, act: expiring });
await shot("signed-in-phone-dark", guarded, { wait: 500, viewport: phone, scheme: "dark", act: expiring });
await shot("no-permission", `${guarded}?pattern=plant2/%23`, {
  wait: 500,
  act: signIn("weir_viewer_secret", 800),
});
await shot("loading", `${none}?pattern=nothing/here`, { wait: 300 });
await shot("empty", none, { wait: 1000 });
await shot("connecting-lost", none, { wait: 800, act: after(`${none}fake/drop`, 600) });
await shot("many-series", large, { wait: 9000 });
await get(`${fleet}fake/spike?i=0`);
await shot("light", fleet, { wait: 45_000 });
await shot("table", fleet, {
  wait: 8000,
  act: async (p) => {
    await get(`${fleet}fake/spike?i=1`);
    await p.locator("#series").scrollIntoViewIfNeeded();
    await p.waitForTimeout(1500);
  },
});
await shot("dark", fleet, { scheme: "dark", wait: 25_000 });
await shot("focus", focused, {
  wait: 30_000,
  act: async (p) => {
    await get(`${fleet}fake/spike?i=0`);
    await p.waitForTimeout(3500);
    await p.mouse.move(700, 420);
    await p.waitForTimeout(300);
  },
});
await shot("insecure-dark", open, { scheme: "dark", wait: 8000 });
await shot("phone", fleet, { viewport: phone, wait: 15_000, full: true });
await shot("phone-focus-dark", focused, { viewport: phone, scheme: "dark", wait: 15_000 });
await shot("help", fleet, { act: (p) => p.keyboard.press("?") });
await shot("silent", open, { wait: 6000, act: after(`${open}fake/mute`, 5000) });
await shot("disconnected", fleet, { wait: 8000, act: after(`${fleet}fake/drop`, 3000) });

await browser.close();
