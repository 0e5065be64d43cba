import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** A server under test. */
export interface Server {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  stop(): Promise<void>;
}

/** How long a server may take until it is ready, ms. */
const START_TIMEOUT = 20_000;

/** Start the real `weir serve` (the binary of WEIR_BIN) with a data directory of its own. */
export async function startWeir(port?: number): Promise<Server> {
  const binary = resolve(process.env.WEIR_BIN ?? join(__dirname, "../bin/weir"));
  if (!existsSync(binary)) throw new Error(`${binary} is missing: build it with \`make build\``);
  const address = `127.0.0.1:${port ?? (await freePort())}`;
  const data = mkdtempSync(join(tmpdir(), "weir-e2e-"));
  const server = await start(
    binary,
    ["serve", "--listen", address, "--data", data],
    `http://${address}`,
    "/readyz",
  );
  return {
    url: server.url,
    async stop() {
      await server.stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Start the UI's stand-in server: for states that the real one does not get into on demand. */
export async function startFake(...flags: string[]): Promise<Server> {
  const script = join(__dirname, "../dashboard-ui/dev/fake-server.mjs");
  const port = await freePort();
  const args = [script, "--port", String(port), ...flags];
  return start(process.execPath, args, `http://127.0.0.1:${port}`, "/");
}

async function start(command: string, args: string[], url: string, ready: string): Promise<Server> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      log = (log + chunk).slice(-8000);
    });
  }
  const deadline = Date.now() + START_TIMEOUT;
  while (!(await answers(url + ready))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`${command} ${args.join(" ")} did not become ready:\n${log}`);
    }
  }
  return { url, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await gone;
  clearTimeout(patience);
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    await new Promise((again) => setTimeout(again, 50));
    return false;
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
