// A stand-in for `weir serve` for work on the UI: speaks weir.v1.json with generated series and serves dist/.
//
//   node dev/fake-server.mjs [--port 7420] [--series 36] [--hz 20] [--insecure] [--seed 1] [--guard [--service]]
//
// While it runs: GET /fake/spike?i=3 plants a fault, /fake/mute stops sending, /fake/drop closes all
// connections and refuses new ones for 8 s, /fake/gap leaves a row out, /fake/refuse has what is done to alerts fail. With --guard it wants to know who looks
// (the keys are in fake-session.mjs; #code=once signs in): /fake/expiring announces the end of all sessions,
// /fake/expire and /fake/revoke are that. With --service it also offers to send people to a sign-in service.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { handleAlerts } from "./fake-alerts.mjs";
import { makeSeries, random } from "./fake-series.mjs";
import { Sessions } from "./fake-session.mjs";

const COLUMNS =
  "i version since n late invalid first_ts last_ts last min max sum avg lo hi state score worst ingest_ts emit_ts";
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const DIST = fileURLToPath(new URL("../dist", import.meta.url));

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "7420" },
    series: { type: "string", default: "36" },
    hz: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    insecure: { type: "boolean", default: false },
    guard: { type: "boolean", default: false },
    service: { type: "boolean", default: false },
  },
});
const series = makeSeries(Number(flags.series));
const chance = random(Number(flags.seed));
const clients = new Set();
const sessions = flags.guard ? new Sessions({ service: flags.service }) : null;
const mode = { muted: false, refuseUntil: 0, skipRow: false, refusing: false };
const us = () => Date.now() * 1000;

const CONTROLS = {
  "/fake/spike": (q) => series[Number(q.get("i") ?? 0)]?.plant(us(), Number(q.get("size") ?? 9), 2),
  "/fake/mute": () => {
    mode.muted = true;
  },
  "/fake/drop": () => {
    mode.refuseUntil = Date.now() + 8000;
    for (const c of clients) c.socket.close(1001, "draining");
  },
  "/fake/refuse": () => {
    mode.refusing = true;
  },
  "/fake/gap": () => {
    mode.skipRow = true;
  },
  "/fake/expiring": () => {
    const at = new Date(Date.now() + 60_000).toISOString();
    for (const c of clients) c.send("token_expiring", { expires_at: at });
  },
  "/fake/expire": () => endSessions(4100, "token_expired"),
  "/fake/revoke": () => endSessions(4101, "token_revoked"),
};

function endSessions(code, reason) {
  sessions?.open.clear();
  for (const c of clients) c.socket.close(code, reason);
}

const server = createServer(async (req, res) => {
  const url = new URL(req.url, "http://fake");
  const control = CONTROLS[url.pathname];
  if (control) {
    control(url.searchParams);
    res.end("ok\n");
    return;
  }
  if (await sessions?.handle(req, res, url.pathname)) return;
  const user = sessions ? sessions.of(req) : { subject: "operator", roles: ["admin"] };
  const tell = (alert) => {
    for (const c of clients) c.send("alert", alert);
  };
  const about = { series, user: user ?? { roles: [] }, now: us(), failing: mode.refusing, tell };
  if (await handleAlerts(req, res, url.pathname, about)) return;
  const path = normalize(join(DIST, url.pathname === "/" ? "index.html" : url.pathname));
  if (!path.startsWith(DIST) || !existsSync(path)) {
    res.writeHead(404).end();
    return;
  }
  res.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
  createReadStream(path).pipe(res);
});

const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "weir.v1.json" });
server.on("upgrade", (req, socket, head) => {
  if (Date.now() < mode.refuseUntil) socket.destroy();
  else sockets.handleUpgrade(req, socket, head, (ws) => accept(ws, req));
});

function accept(ws, req) {
  const user = sessions ? sessions.of(req) : { read: ["#"] };
  if (user) new Client(ws, user);
  else ws.close(1008, "unauthenticated");
}

let nextView = 1;

class Client {
  constructor(socket, user) {
    this.socket = socket;
    this.views = new Map();
    clients.add(this);
    socket.on("message", (data) => this.receive(JSON.parse(String(data))));
    socket.on("close", () => clients.delete(this));
    const hello = { protocol: "weir.v1.json", epoch: "fake-1", session: "s", server_time: us() };
    this.send("welcome", { ...hello, heartbeat_ms: 2000, insecure: flags.insecure, read: user.read });
  }

  send(type, payload) {
    if (this.socket.readyState === 1 && !mode.muted) this.socket.send(JSON.stringify({ type, payload }));
  }

  receive({ type, payload }) {
    if (type === "app_ping") this.send("app_pong", payload);
    if (type === "stats")
      this.send("stats", { rtt_ms: 1.2, subscriptions: [...this.views.values()].map(figures) });
    if (type === "unsubscribe") this.views.delete(payload.id);
    if (type !== "subscribe") return;
    const matches = payload.patterns.map(toRegExp);
    const chosen = series.filter((s) => matches.some((m) => m.test(s.name)));
    const view = {
      number: nextView++,
      chosen,
      every: Math.max(1, Math.round(Number(flags.hz) / (payload.max_hz || 20))),
    };
    this.views.set(payload.id, view);
    this.send("subscribed", {
      id: payload.id,
      view: view.number,
      max_hz: payload.max_hz ?? 20,
      columns: COLUMNS.split(" "),
      dictionary: chosen.map((s) => ({ i: s.i, series: s.name })),
      rows: chosen.filter((s) => s.row).map((s) => s.row),
      alerts: chosen.filter((s) => s.alert).map((s) => s.alert),
      cursor: "fake",
      push_ts: us(),
    });
  }

  push(stepped) {
    for (const view of this.views.values()) {
      let rows = view.chosen.filter((s) => stepped.has(s)).map((s) => s.row);
      if (mode.skipRow) rows = rows.slice(1);
      if (rows.length > 0) this.send("updates", { view: view.number, push_ts: us(), rows });
    }
  }
}

/** What a server counts of a client that keeps up. */
function figures({ number }) {
  const none = { merged: 0, held: 0, depth: 0, lag_ms: 0, stalls: 0 };
  return { id: String(number), view: number, frames: 1, rows: 1, readings: 1, ...none };
}

function toRegExp(pattern) {
  const source = pattern.replace(/[.*?^${}()|[\]\\]/g, "\\$&").replaceAll("+", "[^/]+");
  return new RegExp(`^${source.replace(/\/?#$/, ".*")}$`);
}

/** All series advance together, the odd ones at half the rate. */
function advance(turn, now) {
  const stepped = new Set();
  const alerts = [];
  for (const s of series) {
    if (s.i % 3 === 2 && turn % 2) continue;
    const alert = s.step(now, 1 + Math.floor(chance() * 4), 1e6 / Number(flags.hz));
    stepped.add(s);
    if (alert) alerts.push(alert);
  }
  if (chance() < 0.008)
    series[Math.floor(chance() * series.length)]?.plant(now, chance() < 0.5 ? 7 : -7, 1.5);
  return { stepped, alerts };
}

let turn = 0;
setInterval(() => {
  const { stepped, alerts } = advance(turn++, us());
  for (const c of clients) {
    c.push(stepped);
    for (const a of alerts) c.send("alert", a);
  }
  mode.skipRow = false;
}, 1000 / Number(flags.hz));

server.listen(Number(flags.port), "127.0.0.1", () => {
  process.stdout.write(`fake Weir on http://127.0.0.1:${server.address().port}/\n`);
});
