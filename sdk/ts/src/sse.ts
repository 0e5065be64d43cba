import type { ClientMessage, Joined, JoinRequest, SendRequest, SubscribeRequest } from "./protocol.ts";
import type { Socket } from "./socket.ts";

/** What the streams are to carry from the start. */
export interface Intents {
  readonly subscriptions: readonly SubscribeRequest[];
  readonly rooms: readonly JoinRequest[];
}

export type Fetch = (
  path: string,
  init?: RequestInit & { headers?: Record<string, string> },
) => Promise<Response>;

interface Stream {
  readonly stop: AbortController;
  /** Id of its subscription here; the server does not know it. */
  id: string | undefined;
}

/** Messages of a room that may be asked for. */
const MAX_LAST = 1000;
/** Close code of a stream that ended, and of one that is to be opened again with new credentials. */
const LOST = 1006;
const AGAIN = 4002;

/**
 * Stands in for a WebSocket where none can be opened: frames come as server-sent events, one stream per subscription,
 * and messages are posted. Joins go into the first stream, whose welcome is the connection's.
 */
export class EventStreams implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  private readonly streams = new Set<Stream>();
  /** Numbers of the streams' views, which may come from different servers, here and there. */
  private views = 0;
  private closed = false;
  private readonly joined: ReadonlyMap<string, JoinRequest>;

  constructor(
    private readonly fetch: Fetch,
    intents: Intents,
  ) {
    const [first] = intents.subscriptions;
    this.joined = new Map(intents.rooms.map((r) => [r.room, r]));
    void this.run(first, intents.rooms, true);
  }

  send(text: string): boolean {
    const message = JSON.parse(text) as ClientMessage;
    switch (message.type) {
      case "subscribe":
        this.subscribe(message.payload);
        break;
      case "unsubscribe":
        for (const s of this.streams) if (s.id === message.payload.id) this.end(s);
        break;
      case "join":
        if (!this.joined.has(message.payload.room)) this.again();
        break;
      case "leave":
        if (this.joined.has(message.payload.room)) this.again();
        break;
      case "send":
        // A request can only ask for what is kept.
        if (message.payload.ephemeral) return false;
        void this.post(message.payload);
        break;
      case "auth":
        // Credentials are those of the requests: new ones need new requests.
        if (this.streams.size > 0) this.again();
        break;
      case "app_ping":
        // An open stream speaks for itself; without one there is nothing that could fall silent.
        if (this.streams.size === 0) this.say({ type: "app_pong", payload: message.payload });
        break;
      default:
        return false;
    }
    return true;
  }

  close(): void {
    this.finish(1000, "normal", false);
  }

  private subscribe(request: SubscribeRequest): void {
    const waiting = [...this.streams].find((s) => s.id === request.id);
    if (!waiting) void this.run(request, [], false);
  }

  private async run(
    request: SubscribeRequest | undefined,
    rooms: readonly JoinRequest[],
    first: boolean,
  ): Promise<void> {
    const stream: Stream = { stop: new AbortController(), id: request?.id };
    this.streams.add(stream);
    const views = new Map<number, number>();
    try {
      const answer = await this.fetch(`/v1/events?${query(request, rooms)}`, {
        headers: { accept: "text/event-stream" },
        signal: stream.stop.signal,
      });
      if (!answer.ok || !answer.body) {
        this.finish(...refusal(answer.status, await code(answer)));
        return;
      }
      await readEvents(answer.body, (event, data) => {
        if (this.closed || !this.streams.has(stream)) return;
        if (event === "close") {
          const { code, reason } = JSON.parse(data) as { code: number; reason: string };
          this.finish(code, reason);
        } else if (event === null) this.say({ type: "app_pong", payload: {} });
        else if (event !== "welcome" || first)
          this.say({ type: event, payload: this.translated(stream, views, data) });
      });
    } catch {
      // The network's error is the stream's end.
    }
    if (this.streams.delete(stream)) this.finish(LOST, "");
  }

  /** The payload with the subscription's id and view as they are known here. */
  private translated(stream: Stream, views: Map<number, number>, data: string): unknown {
    const payload = JSON.parse(data) as {
      id?: string;
      view?: number;
      columns?: unknown;
      room?: string;
      members?: unknown;
    };
    if (payload.view !== undefined) {
      const view = views.get(payload.view) ?? ++this.views;
      views.set(payload.view, view);
      payload.view = view;
    }
    if (payload.columns !== undefined && stream.id !== undefined) payload.id = stream.id;
    if (payload.room !== undefined && payload.members) this.proved(payload as unknown as Joined);
    return payload;
  }

  /** What several rooms have missed cannot be asked for: say so unless the histories reach back to what is known. */
  private proved(joined: Joined & { gap?: boolean }): void {
    const { after } = this.joined.get(joined.room) ?? {};
    if (after === undefined || this.joined.size === 1 || joined.version === after) return;
    joined.gap = !(joined.messages ?? []).some((m) => m.version <= after);
  }

  private async post(request: SendRequest): Promise<void> {
    const { id, type, payload, ttl_ms, room, user, session, broadcast } = request;
    const body = JSON.stringify({ target: { room, user, session, broadcast }, type, payload, id, ttl_ms });
    const headers = { "content-type": "application/json" };
    try {
      const answer = await this.fetch("/v1/publish", { method: "POST", headers, body });
      const said = (await answer.json()) as { version?: number; error?: { code: string; message: string } };
      if (answer.ok) this.say({ type: "receipt", payload: { id, version: said.version } });
      else this.say({ type: "error", payload: { ...said.error, id } });
    } catch {
      // Without a receipt the message is sent again after the next welcome.
    }
  }

  private say(message: unknown): void {
    if (!this.closed) this.onmessage?.({ data: JSON.stringify(message) });
  }

  private end(stream: Stream): void {
    this.streams.delete(stream);
    stream.stop.abort();
  }

  /** What the streams carry is said in their addresses: for something else they have to be opened again. */
  private again(): void {
    this.finish(AGAIN, "server_restart");
  }

  private finish(code: number, reason: string, tell = true): void {
    if (this.closed) return;
    this.closed = true;
    for (const stream of [...this.streams]) this.end(stream);
    if (tell) this.onclose?.({ code, reason });
  }
}

function query(request: SubscribeRequest | undefined, rooms: readonly JoinRequest[]): URLSearchParams {
  const all = new URLSearchParams();
  const { id: _, patterns = [], fields, ...rest } = request ?? { id: "" };
  for (const p of patterns) all.append("subscribe", p);
  if (fields) all.set("fields", fields.join(","));
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) all.set(name, String(value));
  for (const { room } of rooms) all.append("join", room);
  const [one, another] = rooms;
  if (another) all.set("last", String(MAX_LAST));
  else
    for (const name of ["last", "after"] as const)
      if (one?.[name] !== undefined) all.set(name, String(one[name]));
  return all;
}

/** The close that a refused request stands for. */
function refusal(status: number, reason: string): [number, string] {
  if (status === 403) return [1008, "forbidden"];
  if (status !== 401) return [LOST, ""];
  return [1008, reason || "unauthenticated"];
}

async function code(answer: Response): Promise<string> {
  const said = (await answer.json().catch(() => ({}))) as { error?: { code?: string } };
  return said.error?.code ?? "";
}

/** Tell each event of a stream, with null for a comment. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  tell: (event: string | null, data: string) => void,
): Promise<void> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  let rest = "";
  let event = "message";
  let data: string[] = [];
  const line = (text: string) => {
    if (text === "") {
      if (data.length > 0) tell(event, data.join("\n"));
      event = "message";
      data = [];
    } else if (text.startsWith(":")) tell(null, "");
    else if (text.startsWith("event:")) event = text.slice(6).trimStart();
    else if (text.startsWith("data:")) data.push(text.slice(text[5] === " " ? 6 : 5));
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop() ?? "";
    lines.forEach(line);
  }
}
