import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Access,
  Client,
  cache,
  expect,
  expectLetter,
  expectNewest,
  expectShown,
  newDevice,
  newest,
  socketURL,
  test,
  tool,
} from "./harness";

// Telegraf, built from its module's source. Each run has a documented output, or one that differs from it by what its
// comments say, and inputs whose values are known.

const home = mkdtempSync(join(tmpdir(), "weir-telegraf-"));
test.afterAll(() => rmSync(home, { recursive: true, force: true }));

const documented = (file: string) => readFileSync(join(__dirname, "telegraf", file), "utf8");

/** Start Telegraf with an output. */
function telegraf(url: string, access: Access, output: string, ...flags: string[]): Client {
  const file = join(home, "output.conf");
  writeFileSync(file, output);
  const inputs = join(__dirname, "telegraf/inputs.conf");
  const readings = join(__dirname, "telegraf/readings.txt");
  const env = { SERVER_URL: url, DEVICE_KEY: access.key, READINGS: readings };
  return new Client(join(cache, "telegraf"), ["--config", inputs, "--config", file, ...flags], env);
}

const as = (output: string, format: string) =>
  output.replace('data_format = "influx"', `data_format = "${format}"`);

const [socket, http] = [documented("websocket.conf"), documented("http.conf")];
const single = as(http, "json").replace("data_format", "use_batch_format = false\n  data_format");
const runs = [
  { name: "websocket, influx", output: socket, state: /^line \d+\.state$/ },
  { name: "websocket, json", output: as(socket, "json"), state: /^metrics\[\d+\]\.fields\.state$/ },
  { name: "http, influx", output: http, state: /^line \d+\.state$/ },
  { name: "http, json", output: as(http, "json"), state: /^metrics\[\d+\]\.fields\.state$/ },
  { name: "http, json, one by one", output: single, state: /^fields\.state$/ },
];
for (const { name, output, state } of runs) {
  test(`Telegraf: ${name}`, async ({ page, weir }) => {
    const access = await newDevice(weir, `telegraf-${name.replaceAll(/\W+/g, "-")}`);
    const url = name.startsWith("websocket") ? socketURL(weir) : weir.url;
    const client = telegraf(url, access, output);
    try {
      await expectNewest(weir, access.device, { "boiler_temperature.line=3": 21.5, "boiler_open.line=3": 1 });
      await expect
        .poll(async () => Object.keys(await newest(weir, access.device)))
        .toEqual(expect.arrayContaining(["cpu_usage_idle.cpu0", "mem_available_percent"]));
      await expectLetter(weir, access.device, { code: "value_type", path: expect.stringMatching(state) });
      await expectShown(page, weir, `${access.device}/boiler_temperature.line=3`, "21.5");
    } finally {
      await client.stop();
    }
    expect(client.output).not.toMatch(/ E! /);
  });
}

test("Telegraf: the tag host is the device, with a key for a whole tenant", async ({ page, weir }) => {
  const rights = ["--role", "device", "--tenant", "plant1", "--write", "plant1/#"];
  const key = (await tool(weir, "key", "create", ...rights, "--name", "fleet", "-q")).trim();
  const client = telegraf(weir.url, { device: "plant1/web-1", key }, http);
  try {
    await expectNewest(weir, "plant1/web-1", { "boiler_temperature.line=3": 21.5 });
    await expectShown(page, weir, "plant1/web-1/boiler_temperature.line=3", "21.5");
  } finally {
    await client.stop();
  }
});

// What is refused of Telegraf's other data formats, and how. None of them is understood by mistake.
const refused = {
  carbon2: /status 400.*"format_syntax"/,
  cloudevents: /status 422.*"metric_missing"/,
  csv: /status 415.*"format_unknown"/,
  graphite: /status 415.*"format_unknown"/,
  msgpack: /status 4(00|15).*"format_(syntax|unknown)"/,
  nowmetric: /status 422.*"metric_missing"/,
  prometheus: /status 415.*"format_unknown"/,
  prometheusremotewrite: /status 4(00|15).*"format_(syntax|unknown)"/,
  splunkmetric: /status 400.*"json_syntax"/,
  wavefront: /status 400.*"format_syntax"/,
};
for (const [format, answer] of Object.entries(refused)) {
  test(`Telegraf: ${format} is refused`, async ({ weir }) => {
    const access = await newDevice(weir, `telegraf-${format}`);
    const client = telegraf(weir.url, access, as(http, format), "--once");
    await client.ended();
    expect(client.output).toMatch(answer);
    const code = /"code":"(\w+)"/.exec(client.output)?.[1] ?? "";
    await expectLetter(weir, access.device, { code });
    expect(await newest(weir, access.device)).toEqual({});
  });
}
