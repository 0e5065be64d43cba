import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, type Page, test } from "@playwright/test";
import { Device } from "./device";
import { startWeir, type Weir } from "./process";

// The client package as it is published, in a page of its own.

const series = "plant1/press7/temperature";
let weir: Weir;
let device: Device;
let dist: string;

test.beforeAll(async () => {
  dist = mkdtempSync(join(tmpdir(), "weir-live-"));
  const tsc = join(__dirname, "../dashboard-ui/node_modules/typescript/bin/tsc");
  const cwd = join(__dirname, "../sdk/ts");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", dist], { cwd });
  weir = await startWeir({ open: true });
  device = await Device.connect(weir.url, "plant1/press7", weir.key);
  device.stream(20, { temperature: (i) => i % 7 });
});

test.afterAll(async () => {
  device?.close();
  await weir?.stop();
  rmSync(dist, { recursive: true, force: true });
});

/** An empty page of the server's origin that can load the package. */
async function open(page: Page): Promise<void> {
  await page.route(`${weir.url}/live/*`, (route) =>
    route.fulfill({ path: join(dist, new URL(route.request().url()).pathname.slice("/live/".length)) }),
  );
  await page.route(`${weir.url}/page`, (route) =>
    route.fulfill({ contentType: "text/html", body: "<p>page" }),
  );
  await page.goto(`${weir.url}/page`);
}

test("a worker holds the connection, and the page gets what it can draw", async ({ page }) => {
  await open(page);
  const got = await page.evaluate(async (name) => {
    const { LiveWorker } = await import("/live/worker-client.js" as string);
    const worker = new Worker("/live/worker.js", { type: "module" });
    const live = new LiveWorker(worker, { url: location.origin });
    const { sink: store } = live.subscribe({ patterns: ["#"], maxHz: 0 });
    await new Promise<void>((enough) => {
      store.on("changed", () => store.get(name)?.rows > 20 && enough());
    });
    return { state: live.state.name, rows: store.get(name).rows, readings: store.get(name).readings };
  }, series);
  expect(got.state).toBe("live");
  expect(got.readings).toBeGreaterThanOrEqual(got.rows);
});

test("where WebSockets do not open, events come by HTTP", async ({ page }) => {
  await open(page);
  const got = await page.evaluate(async (name) => {
    const { LiveClient } = await import("/live/index.js" as string);
    const nowhere = class extends WebSocket {
      constructor() {
        super("ws://127.0.0.1:9");
      }
    };
    const live = new LiveClient({ url: location.origin, WebSocket: nowhere, backoff: { cap: 50 } });
    const { sink: store, counts } = live.subscribe({ patterns: ["#"] });
    live.connect();
    await new Promise<void>((enough) => {
      store.on("changed", () => store.get(name)?.rows > 5 && enough());
    });
    return { by: live.connection.transport, gaps: counts.gaps };
  }, series);
  expect(got).toEqual({ by: "sse", gaps: 0 });
});
