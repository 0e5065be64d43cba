import { join, resolve } from "node:path";
import {
  type Access,
  Client,
  cache,
  command,
  expect,
  expectLetter,
  expectNewest,
  expectShown,
  newDevice,
  socketURL,
  test,
} from "./harness";

// Scripts with common libraries. Each sends 21.5, something that is no value, and 22.

const python = join(cache, "venv/bin/python");
const here = (file: string) => join(__dirname, file);

test("Python with websockets", async ({ page, weir }) => {
  const access = await newDevice(weir, "python-websockets");
  const client = new Client(python, [here("python/websocket_device.py"), "21.5", "nan", "22"], env(access));
  expect(await client.ended(), client.output).toBe(0);
  const receipts = client.output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).payload);
  expect(receipts).toMatchObject([
    { seq: 1, accepted: 1, rejected: [] },
    { seq: 2, accepted: 0, rejected: [{ code: "value_not_finite", path: "readings[0].value" }] },
    { seq: 3, accepted: 1, rejected: [] },
  ]);
  await expectNewest(weir, access.device, { temperature: 22 });
  await expectLetter(weir, access.device, { code: "value_not_finite", path: "readings[0].value" });
  await expectShown(page, weir, `${access.device}/temperature`, "22");

  function env({ key }: Access) {
    return { SERVER_URL: socketURL(weir), DEVICE_KEY: key };
  }
});

test("Node with ws", async ({ page, weir }) => {
  const { device, key } = await newDevice(weir, "node-ws");
  const env = { SERVER_URL: socketURL(weir), DEVICE_KEY: key };
  const client = new Client("node", [here("node/websocket.mjs"), "21.5", "nan", "22"], env);
  expect(await client.ended(), client.output).toBe(0);
  const receipts = client.output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).payload);
  // JSON.stringify writes null for NaN.
  const refusal = { code: "value_type", path: "readings[0].value" };
  expect(receipts).toMatchObject([{ accepted: 1 }, { accepted: 0, rejected: [refusal] }, { accepted: 1 }]);
  await expectNewest(weir, device, { temperature: 22 });
  await expectLetter(weir, device, refusal);
  await expectShown(page, weir, `${device}/temperature`, "22");
});

test("a live client in Python, cut off again and again, misses nothing", async ({ weir }) => {
  const { device, key } = await newDevice(weir, "live-python");
  const file = resolve(__dirname, "../../docs/examples/live.py");
  const sent = 400;
  const args = [file, `${device}/#`, "--until", String(sent), "--cut", "3"];
  const client = new Client(python, args, {
    WEIR_URL: socketURL(weir),
    WEIR_TOKEN: weir.key,
    PYTHONUNBUFFERED: "1",
  });
  await client.printed("subscribed");
  for (let n = 0; n < sent; n += 4) {
    const readings = [0, 1, 2, 3].map((i) => ({ metric: "temperature", value: n + i }));
    const answer = await fetch(`${weir.url}/v1/readings`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ device, readings }),
    });
    expect(answer.status).toBe(200);
    // Not all of it before the client has asked once, or it would be told in a few frames.
    if (n % 20 === 16) await expect.poll(() => told(client)).toBe(n + 4);
  }
  expect(await client.ended(), client.output).toBe(0);
  const sum = JSON.parse(client.output.trim().split("\n").at(-1) ?? "");
  expect(sum).toMatchObject({ readings: { [`${device}/temperature`]: sent }, anew: 1, gaps: 0 });
  expect(sum.resumed).toBeGreaterThan(3);

  /** How many readings the rows that it has printed tell of. */
  function told({ output }: Client): number {
    const rows = output.split("\n").filter((line) => line.startsWith('{"series"') && line.endsWith("}"));
    return rows.reduce((sum, row) => sum + JSON.parse(row).n, 0);
  }
});

const mqttClients = [
  { name: "paho", start: [python, here("python/mqtt_device.py")] },
  { name: "mqttjs", start: ["node", here("node/mqtt.mjs")] },
];
for (const { name, start } of mqttClients) {
  for (const version of ["3", "5"]) {
    test(`MQTT ${version} with ${name}, and commands`, async ({ page, weir }) => {
      const { device, key } = await newDevice(weir, `${name}-${version}`);
      const env = { SERVER_URL: socketURL(weir), DEVICE_KEY: key, MQTT_VERSION: version };
      const [program = "", ...args] = start;
      const client = new Client(program, [...args, device, "21.5", "warm", "22"], env);
      await client.printed(/(acknowledged|refused)(.*\n){3}/);
      // Only MQTT 5 tells that a publish was refused; 3.1.1 has nothing but the acknowledgement.
      expect(/invalid/i.test(client.output), client.output).toBe(version === "5");
      await expectNewest(weir, device, { temperature: 22 });
      expect(await command(weir, device, "restart")).toMatchObject({
        status: "done",
        result: { did: "restart" },
      });
      await client.stop();
      await expectLetter(weir, device, { code: "format_unknown" });
      await expectShown(page, weir, `${device}/temperature`, "22");
    });
  }
}
