import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import { startWeir, type Weir } from "../process";

/** Stock clients as devices of the real server: what the specs of this folder share. */

export { expect };

/** Where clients that are not in the repository are: what `make test-clients` installs. */
export const cache = resolve(process.env.CLIENTS_CACHE ?? join(__dirname, ".cache"));
const repository = resolve(__dirname, "../..");
const binary = resolve(process.env.WEIR_BIN ?? join(repository, "bin/weir"));

/** What a client needs to know. */
export interface Access {
  readonly device: string;
  readonly key: string;
}

export interface Letter {
  readonly code: string;
  readonly path?: string;
}

/** One server for the tests of a worker, which ask for credentials. */
export const test = base.extend<object, { weir: Weir }>({
  weir: [
    async ({ browserName: _ }, use) => {
      const weir = await startWeir();
      await use(weir);
      await weir.stop();
    },
    { scope: "worker" },
  ],
});

/** A device with a key of its own, made as docs/devices.md says. */
export async function newDevice(weir: Weir, name: string): Promise<Access> {
  const device = `clients/${name}`;
  const key = await tool(weir, "key", "create", "--device", device, "--name", name, "-q");
  return { device, key: key.trim() };
}

/** The server's address for WebSocket clients. */
export const socketURL = (weir: Weir) => weir.url.replace(/^http/, "ws");

/** Run a command of bin/weir as the administrator; gives what it prints. */
export async function tool(weir: Weir, ...args: string[]): Promise<string> {
  const child = new Client(binary, args, { WEIR_URL: weir.url, WEIR_TOKEN: weir.key });
  expect(await child.ended(), child.output).toBe(0);
  return child.output;
}

/** The newest values of a device by metric, as /v1/snapshot has them. */
export async function newest(weir: Weir, device: string): Promise<Record<string, number>> {
  const pattern = encodeURIComponent(`${device}/#`);
  const answer = await fetch(`${weir.url}/v1/snapshot?series=${pattern}`, {
    headers: { authorization: `Bearer ${weir.key}` },
  });
  expect(answer.status).toBe(200);
  const { columns, dictionary, rows } = (await answer.json()) as {
    columns: string[];
    dictionary: { i: number; series: string }[];
    rows: number[][];
  };
  const names = new Map(dictionary.map(({ i, series }) => [i, series]));
  const [index, last] = [columns.indexOf("i"), columns.indexOf("last")];
  const values: Record<string, number> = {};
  for (const row of rows) {
    const series = names.get(row[index] ?? -1) ?? "";
    values[series.slice(device.length + 1)] = row[last] ?? Number.NaN;
  }
  return values;
}

/** Wait until the newest values of a device are these; it may have others. */
export async function expectNewest(
  weir: Weir,
  device: string,
  values: Record<string, number>,
): Promise<void> {
  await expect.poll(() => newest(weir, device)).toMatchObject(values);
}

/** The dead letters of a device, as `weir dlq list` has them. */
export async function letters(weir: Weir, device: string): Promise<Letter[]> {
  const lines = await tool(weir, "dlq", "list", "--device", device, "--json");
  return lines
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Letter);
}

/** A letter's code, and its path or a matcher of it. */
type Sought = { readonly code: string; readonly path?: unknown };

/** Wait until a device has such a dead letter. */
export async function expectLetter(weir: Weir, device: string, letter: Sought): Promise<void> {
  await expect.poll(() => letters(weir, device)).toContainEqual(expect.objectContaining(letter));
}

/** See the newest value of a series on the dashboard. */
export async function expectShown(page: Page, weir: Weir, series: string, value: string): Promise<void> {
  const answer = await page.request.post(`${weir.url}/v1/session`, { data: { token: weir.key } });
  expect(answer.status()).toBe(200);
  const device = series.slice(0, series.lastIndexOf("/"));
  await page.goto(`${weir.url}/?pattern=${encodeURIComponent(`${device}/#`)}`);
  const card = page.locator(`[data-series="${series}"].chart-card`);
  await expect(card.getByTestId("last")).toContainText(value);
}

/** A program that is run as a device. */
export class Client {
  private readonly child: ChildProcess;
  private readonly end: Promise<number | null>;
  /** What it has written so far, to either of its outputs. */
  output = "";

  constructor(command: string, args: readonly string[], env: Record<string, string>, input = "") {
    this.child = spawn(command, args, { cwd: repository, env: { ...process.env, ...env } });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk) => {
        this.output += chunk;
      });
    }
    this.child.stdin?.end(input);
    // `close` comes after all output; a command that cannot be started has no other event than `error`.
    this.end = Promise.race([
      once(this.child, "close").then(([code]) => code as number | null),
      once(this.child, "error").then(([error]) => {
        this.output += String(error);
        return -1;
      }),
    ]);
  }

  /** Wait for the end of it; gives its exit code. */
  ended(): Promise<number | null> {
    return this.end;
  }

  /** Wait until it has written that. */
  async printed(what: RegExp | string, timeout = 30_000): Promise<void> {
    const matches = typeof what === "string" ? expect.stringContaining(what) : expect.stringMatching(what);
    await expect.poll(() => this.output, { timeout }).toEqual(matches);
  }

  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    const patience = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.end;
    clearTimeout(patience);
  }
}

/** Ask a device to do something, and wait for what it answers. */
export async function command(weir: Weir, device: string, name: string): Promise<unknown> {
  const answer = await fetch(`${weir.url}/v1/commands/${device}?wait=20s`, {
    method: "POST",
    headers: { authorization: `Bearer ${weir.key}`, "content-type": "application/json" },
    body: JSON.stringify({ name }),
  });
  return answer.json();
}
