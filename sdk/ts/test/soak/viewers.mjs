// Live clients that check all they are told, for `make soak-push`: e2e/soak starts this, tells it in lines of JSON on
// stdin what to do, and reads on stdout, in lines of JSON, what has come of it. It ends with its stdin.

import { createInterface } from "node:readline";
import { LiveClient } from "@weir/live";
import { protoCodec } from "@weir/live/proto";
import { WebSocket } from "ws";
import { Ledger } from "./ledger.mjs";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** WebSockets to one of some servers each, that can be cut, and stalled so that they are not read. */
class Line {
  cuts = 0;
  socket = null;
  until = 0;

  constructor(servers) {
    const line = this;
    this.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        const to = new URL(url);
        to.host = servers[Math.floor(Math.random() * servers.length)];
        super(to.href, protocols);
        line.socket = this;
        this.on("open", () => line.hold());
      }
    };
  }

  cut() {
    if (!this.socket) return;
    this.cuts++;
    this.socket.terminate();
  }

  stall(ms) {
    this.until = Date.now() + ms;
    this.hold();
  }

  hold() {
    const { socket } = this;
    const wait = this.until - Date.now();
    if (wait <= 0 || socket?.readyState !== WebSocket.OPEN) return;
    socket.pause();
    setTimeout(() => {
      socket.resume();
      this.hold();
    }, wait);
  }
}

/** A client with one subscription, in some rooms. */
class Viewer {
  constructor({ servers, token }, options) {
    const { name, patterns, max_hz: maxHz, fields, rooms, proto, credits } = options;
    this.ledger = new Ledger();
    this.line = new Line(servers);
    this.live = new LiveClient({
      url: `ws://${servers[0]}`,
      getToken: () => token,
      WebSocket: this.line.WebSocket,
      transports: ["websocket"],
      codec: proto ? protoCodec() : undefined,
      credits: credits > 0 ? credits : false,
      backoff: { base: 50, cap: 1000 },
      maxHeartbeat: 2000,
      receiptTimeout: 120_000,
    });
    this.name = name;
    this.subscription = this.live.subscribe({ patterns, maxHz, fields }, this.ledger);
    this.subscription.on("resync", () => this.ledger.begin());
    this.subscription.on("error", (e) => this.ledger.wrong(`the subscription: ${e.code}: ${e.message}`));
    this.live.alerts.on("transition", (alert) => this.ledger.alert(alert));
    this.live.on("problem", (e) => this.ledger.wrong(`the server: ${e.code}: ${e.message}`));
    this.live.on("protocolError", (e) => this.ledger.wrong(`not the protocol: ${e.message}`));
    this.rooms = new Map(rooms.map((name) => [name, this.live.room(name)]));
    for (const room of this.rooms.values()) {
      this.ledger.said.set(room.name, []);
      room.on("message", (m) => this.ledger.message(m));
      room.on("missed", () => this.ledger.wrong(`${room.name}: messages were missed`));
      room.on("error", (e) => this.ledger.wrong(`${room.name}: ${e.code}: ${e.message}`));
    }
  }

  /** Resolves with the first snapshot, and when all rooms are joined. */
  async begin() {
    const begun = new Promise((resolve) => {
      const off = this.subscription.on("subscribed", () => {
        off();
        resolve();
      });
    });
    this.live.connect();
    await Promise.all([begun, ...[...this.rooms.values()].map((room) => room.join(100))]);
  }

  /** Send to a room, and read what was written. */
  async send(room, type, payload) {
    const { id, done } = this.rooms.get(room).send(type, payload);
    const version = await done;
    await this.rooms.get(room).waitFor(version, 120_000);
    return { id, version };
  }

  report() {
    const { gaps, resyncs, resumes, rows, readings } = this.subscription.counts;
    const state = `${this.live.state.name}, ${this.subscription.state}`;
    const { cuts } = this.line;
    return {
      name: this.name,
      state,
      gaps,
      resets: resyncs,
      resumes,
      rows,
      readings,
      cuts,
      ...this.ledger.told(),
    };
  }
}

let viewers = [];

const orders = {
  async begin(order) {
    viewers = order.clients.map((options) => new Viewer(order, options));
    await Promise.all(viewers.map((v) => v.begin()));
    return {};
  },
  cut: ({ client }) => viewers[client].line.cut(),
  stall: ({ client, ms }) => viewers[client].line.stall(ms),
  send: ({ client, room, type, payload }) => viewers[client].send(room, type, payload),
  report: () => ({ clients: viewers.map((v) => v.report()) }),
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const order = JSON.parse(line);
    try {
      const result = await orders[order.do](order);
      if (order.ref) say({ ref: order.ref, ...result });
    } catch (error) {
      say({ ref: order.ref ?? 0, error: `${order.do}: ${error.code ?? ""} ${error.message}` });
    }
  })
  .on("close", () => process.exit(0));
