import { join } from "node:path";
import { Client, expect, expectLetter, expectNewest, expectShown, newDevice, newest, test } from "./harness";

test("curl, in each format and compressed", async ({ page, weir }) => {
  const { device, key } = await newDevice(weir, "curl");
  const env = { SERVER_URL: weir.url, DEVICE_KEY: key };
  const client = new Client(join(__dirname, "curl/readings.sh"), [], env);
  expect(await client.ended(), client.output).toBe(0);
  const metrics = ["json", "senml_json", "senml_cbor", "influx", "columns", "gzip", "zstd"];
  await expectNewest(weir, device, Object.fromEntries(metrics.map((metric) => [metric, 21.5])));
  expect(client.output).toContain('"dry_run":true');
  expect(await newest(weir, device)).not.toHaveProperty("dry");
  await expectShown(page, weir, `${device}/senml_cbor`, "21.5");
});

test("curl, with a reading that is no number", async ({ weir }) => {
  const { device, key } = await newDevice(weir, "curl-refused");
  const headers = ["-H", `Authorization: Bearer ${key}`];
  const body = '[{"metric":"door","value":"ajar"},{"metric":"temperature","value":21.5}]';
  const client = new Client(
    "curl",
    ["-sS", "--fail-with-body", `${weir.url}/v1/readings`, ...headers, "-d", body],
    {},
  );
  expect(await client.ended(), client.output).toBe(0);
  expect(JSON.parse(client.output)).toMatchObject({
    accepted: 1,
    rejected: [{ index: 0, code: "value_type" }],
  });
  await expectNewest(weir, device, { temperature: 21.5 });
  await expectLetter(weir, device, { code: "value_type", path: "[0].value" });
});
