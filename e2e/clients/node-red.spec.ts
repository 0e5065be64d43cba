import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Weir } from "../process";
import { Client, expectLetter, expectNewest, expectShown, newDevice, socketURL, test } from "./harness";

// A second tab beside the documented flow: something that is no number goes to the same node, and something by MQTT.
const more = (weir: Weir, device: string) => [
  { id: "test", type: "tab", label: "Test" },
  {
    id: "bad",
    type: "inject",
    z: "test",
    x: 140,
    y: 80,
    props: [{ p: "payload" }],
    once: true,
    onceDelay: 2,
    payload: '{"metric":"door","value":"ajar"}',
    payloadType: "json",
    wires: [["link"]],
  },
  {
    id: "good",
    type: "inject",
    z: "test",
    x: 140,
    y: 160,
    props: [{ p: "payload" }],
    once: true,
    onceDelay: 2,
    payload: "3",
    payloadType: "num",
    wires: [["publish"]],
  },
  {
    id: "publish",
    type: "mqtt out",
    z: "test",
    x: 320,
    y: 160,
    topic: `${device}/pressure`,
    qos: "1",
    broker: "broker",
    wires: [],
  },
  {
    id: "broker",
    type: "mqtt-broker",
    broker: `${socketURL(weir)}/mqtt`,
    protocolVersion: "4",
    cleansession: true,
  },
  { id: "link", type: "link out", z: "test", x: 320, y: 80, mode: "link", links: ["linked"] },
  { id: "linked", type: "link in", z: "flow", x: 320, y: 120, links: ["link"], wires: [["out"]] },
];

test("Node-RED's websocket out and in, and its mqtt out", async ({ page, weir }) => {
  const { device, key } = await newDevice(weir, "node-red");
  const home = mkdtempSync(join(tmpdir(), "weir-node-red-"));
  const text = readFileSync(join(__dirname, "node-red/flow.json"), "utf8");
  const flow = JSON.parse(text.replace("ws://127.0.0.1:7420", socketURL(weir))) as object[];
  writeFileSync(join(home, "flow.json"), JSON.stringify([...flow, ...more(weir, device)]));
  // What the settings of the nodes keep secret is a file of its own.
  writeFileSync(join(home, "flow_cred.json"), JSON.stringify({ broker: { user: "device", password: key } }));
  const settings = { uiPort: 0, uiHost: "127.0.0.1", flowFile: "flow.json", credentialSecret: false };
  writeFileSync(join(home, "settings.js"), `module.exports = ${JSON.stringify(settings)}`);
  const script = join(__dirname, "node/node_modules/node-red/red.js");
  const env = { DEVICE_KEY: key };
  const client = new Client("node", [script, "--userDir", home], env);
  try {
    await client.printed('"accepted":1');
    await client.printed('"code":"value_type"');
    await expectNewest(weir, device, { temperature: 21.5, pressure: 3 });
    await expectLetter(weir, device, { code: "value_type", path: "value" });
    await expectShown(page, weir, `${device}/temperature`, "21.5");
  } finally {
    await client.stop();
    rmSync(home, { recursive: true, force: true });
  }
});
