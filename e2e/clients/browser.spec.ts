import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, expectLetter, expectNewest, expectShown, newDevice, test } from "./harness";

// A browser as a device, in a page of the dashboard's origin.

const source = readFileSync(join(__dirname, "browser/device.js"), "utf8").replace("export ", "");

function send(page: Page, device: string, values: unknown[], key = ""): Promise<unknown> {
  return page.evaluate(`${source}; send(${[device, values, key].map((a) => JSON.stringify(a)).join()})`);
}

const receipts = [
  { payload: { accepted: 1 } },
  { payload: { accepted: 0, rejected: [{ code: "value_type" }] } },
  { payload: { accepted: 1 } },
];

test("a browser, with the cookie of who is signed in", async ({ page, weir }) => {
  const device = "clients/browser-cookie";
  const answer = await page.request.post(`${weir.url}/v1/session`, { data: { token: weir.key } });
  expect(answer.status()).toBe(200);
  await page.goto(weir.url);
  expect(await send(page, device, [21.5, "warm", 22])).toMatchObject(receipts);
  await expectNewest(weir, device, { temperature: 22 });
  await expectLetter(weir, device, { code: "value_type", path: "value" });
  await expectShown(page, weir, `${device}/temperature`, "22");
});

test("a browser, with a key as subprotocol", async ({ page, weir }) => {
  const { device, key } = await newDevice(weir, "browser-key");
  await page.goto(weir.url);
  await expect(send(page, device, [21.5])).rejects.toThrow("closed: 1008");
  expect(await send(page, device, [21.5, "warm", 22], key)).toMatchObject(receipts);
  await expectNewest(weir, device, { temperature: 22 });
  await expectLetter(weir, device, { code: "value_type", path: "value" });
  await expectShown(page, weir, `${device}/temperature`, "22");
});
