import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { send, startWeir, until, type Weir } from "./plant.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
let weir: Weir;
let home: string;
let running: ChildProcess | undefined;
let printed = "";

// The examples run as a user's would: by plain Node, from the package as it is published.
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "weir-examples-"));
  const modules = join(home, "node_modules");
  mkdirSync(join(modules, "@weir/live"), { recursive: true });
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const out = join(modules, "@weir/live/dist");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", out], { cwd: root });
  symlinkSync(join(root, "package.json"), join(modules, "@weir/live/package.json"));
  symlinkSync(join(root, "node_modules/ws"), join(modules, "ws"));
  symlinkSync(join(root, "examples"), join(home, "examples"));
  weir = await startWeir();
});
afterAll(async () => {
  await weir?.stop();
  rmSync(home, { recursive: true, force: true });
});
afterEach(() => {
  running?.kill();
});

function run(name: string): void {
  printed = "";
  running = spawn(process.execPath, ["--preserve-symlinks", "--preserve-symlinks-main", `examples/${name}`], {
    cwd: home,
    env: { ...process.env, WEIR_URL: weir.url, WEIR_TOKEN: weir.key },
  });
  for (const stream of [running.stdout, running.stderr]) stream?.on("data", (text) => (printed += text));
}

const shown = (what: string) =>
  until(() => printed.includes(what), `${what} in what was printed:\n${printed}`);

describe("examples", () => {
  it("follow.mjs prints what changes", async () => {
    run("follow.mjs");
    await shown("live");
    await send(weir, "plant1/press", "t", [21.5]);
    await shown("plant1/press/t 21.5");
  });

  it("worst.mjs prints the worst", async () => {
    await send(weir, "plant1/oven", "t", [95]);
    run("worst.mjs");
    await shown("'plant1/oven/t'");
    expect(printed).not.toContain("plant1/press/t'");
  });

  it("alerts.mjs acknowledges what is raised", async () => {
    run("alerts.mjs");
    for (let i = 0; i < 20; i++) await send(weir, "plant1/fan", "rpm", [60, 61, 60, 59, 60]);
    await send(weir, "plant1/fan", "rpm", [900]);
    await shown("plant1/fan/rpm acknowledged");
  });

  it("rooms.mjs says something, and reads it", async () => {
    run("rooms.mjs");
    await shown("here: _users/");
    await shown("said: valve 7 is open");
    expect(printed).toMatch(/_users\/\S+ chat \{ text: 'valve 7 is open' \}/);
  });
});
