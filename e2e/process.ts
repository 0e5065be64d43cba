import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** A server under test. */
export interface Server {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  stop(): Promise<void>;
}

/** The real server. */
export interface Weir extends Server {
  /** An admin's API key, of the data directory. */
  readonly key: string;
  /** The link that the server printed, which signs a browser in once. */
  readonly link: string;
}

export interface WeirOptions {
  readonly port?: number;
  /** A data directory of the caller's; without it, one that goes with the server. */
  readonly data?: string;
  /** Ask nobody for credentials: key and link are empty. */
  readonly open?: boolean;
}

/** How long a server may take until it is ready, ms. */
const START_TIMEOUT = 20_000;

/** Start the real `weir serve` (the binary of WEIR_BIN), which wants to know who comes. */
export async function startWeir({ port, data, open = false }: WeirOptions = {}): Promise<Weir> {
  const binary = resolve(process.env.WEIR_BIN ?? join(__dirname, "../bin/weir"));
  if (!existsSync(binary)) throw new Error(`${binary} is missing: build it with \`make build\``);
  const address = `127.0.0.1:${port ?? (await freePort())}`;
  const home = data ?? newDataDirectory();
  const args = ["serve", "--listen", address, "--data", home];
  if (open) args.push("--insecure-open");
  const server = await start(binary, args, `http://${address}`, "/readyz");
  return {
    url: server.url,
    key: open ? "" : readFileSync(join(home, "credentials/local.key"), "utf8").trim(),
    link: open ? "" : await server.printed(/http:\S+#code=\S+/),
    async stop() {
      await server.stop();
      if (!data) rmSync(home, { recursive: true, force: true });
    },
  };
}

export function newDataDirectory(): string {
  return mkdtempSync(join(tmpdir(), "weir-e2e-"));
}

/** Start the UI's stand-in server: for states that the real one does not get into on demand. */
export async function startFake(...flags: string[]): Promise<Server> {
  const script = join(__dirname, "../dashboard-ui/dev/fake-server.mjs");
  const port = await freePort();
  const args = [script, "--port", String(port), ...flags];
  return start(process.execPath, args, `http://127.0.0.1:${port}`, "/");
}

interface Started extends Server {
  /** Wait until the server has written that. */
  printed(what: RegExp): Promise<string>;
}

async function start(command: string, args: string[], url: string, ready: string): Promise<Started> {
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
  return {
    url,
    stop: () => stop(child),
    async printed(what) {
      for (;;) {
        const found = what.exec(log)?.[0];
        if (found) return found;
        if (child.exitCode !== null || Date.now() > deadline)
          throw new Error(`${what} was not printed:\n${log}`);
        await new Promise((again) => setTimeout(again, 50));
      }
    },
  };
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
