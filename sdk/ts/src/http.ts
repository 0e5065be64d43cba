import { uniqueId } from "./id.ts";

/** The server refused a request or command. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    /** Of the server's table; see ErrorCode. */
    readonly code: string,
    message: string,
    /** Of the field that was wrong. */
    readonly path?: string,
  ) {
    super(message);
  }
}

/** Codes of what may be asked once more, later. */
export function isPassing(code: string): boolean {
  return ["overloaded", "not_ready", "not_stored", "internal"].includes(code);
}

export interface HttpOptions {
  /** http(s)://host[/prefix] */
  readonly base: string;
  readonly token: () => string | null;
  readonly fetch?: typeof fetch | undefined;
}

/** Requests beside the live connection, with the same credentials. */
export class Http {
  constructor(private readonly options: HttpOptions) {}

  /** Post a body; one more time, with the same idempotency key, if there is no answer. Throws Refused. */
  async post(path: string, body: object): Promise<Record<string, unknown>> {
    const headers = { "content-type": "application/json", "idempotency-key": uniqueId() };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    let answer: Response;
    try {
      answer = await this.fetch(path, init);
    } catch {
      answer = await this.fetch(path, init);
    }
    const said = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    if (answer.ok) return said;
    const {
      code,
      message,
      path: field,
    } = (said.error ?? {}) as { code?: string; message?: string; path?: string };
    throw new Refused(code ?? String(answer.status), message ?? `status ${answer.status}`, field);
  }

  fetch(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const token = this.options.token();
    const headers = { ...init.headers, ...(token !== null && { authorization: `Bearer ${token}` }) };
    const ask = this.options.fetch ?? fetch;
    return ask(this.options.base + path, { cache: "no-store", ...init, headers });
  }
}
