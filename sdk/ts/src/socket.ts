/** The part of a WebSocket that is used; the event stream's stand-in and tests bring their own. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  /** False says that this way does not carry it; anything else, that it is under way. */
  send(text: string): unknown;
  close(code?: number, reason?: string): void;
}

/** A WebSocket class: the browser's, Node's since 22, or that of the package ws. */
export type WebSocketConstructor = new (url: string, protocols: string | string[]) => unknown;

/** Where a server is reached. */
export interface Addresses {
  /** http(s)://host[/prefix], without a slash at the end. */
  readonly http: string;
  /** ws(s)://host[/prefix]/v1/live */
  readonly live: string;
}

/** Addresses of a server by its http(s) or ws(s) URL; without one, the server that the page is from. */
export function addresses(url: string | undefined): Addresses {
  const page = typeof location === "undefined" ? undefined : location.origin;
  const base = new URL(url ?? "/", page);
  if (!/^(https?|wss?):$/.test(base.protocol))
    throw new TypeError(`url: ${base.protocol} is neither http nor ws`);
  const secure = base.protocol === "https:" || base.protocol === "wss:";
  const path = base.pathname.replace(/\/(v1\/live)?$/, "");
  const rest = `${secure ? "s" : ""}://${base.host}${path}`;
  return { http: `http${rest}`, live: `ws${rest}/v1/live` };
}

/** Open a WebSocket. */
export function openWebSocket(
  url: string,
  subprotocol: string,
  Given: WebSocketConstructor | undefined,
): Socket {
  const Class = Given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!Class) throw new Error("no WebSocket here: pass the class as an option");
  const socket = new Class(url, subprotocol) as Socket & { binaryType?: string; onerror?: unknown };
  socket.binaryType = "arraybuffer";
  // What went wrong is told by the close that follows; without a listener ws would throw.
  socket.onerror = () => {};
  return socket;
}
