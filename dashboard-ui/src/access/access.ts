import {
  type AccessEvent,
  type AccessState,
  ASKING,
  type Identity,
  step,
  whyNeeded,
  whyRejected,
} from "./machine";

/** The part of the browser's fetch that is used; tests bring their own. */
export type Ask = (path: string, init?: RequestInit) => Promise<Response>;

export interface AccessOptions {
  readonly ask: Ask;
  readonly onState: (state: AccessState, before: AccessState) => void;
}

/** Whether the server offers to send people to a sign-in service. */
export type SignInService = "none" | "ready" | "silent";

const SESSION = "/v1/session";
export const SERVICE = "/v1/session/oidc";

/** The one-time code of an operator's link: of the fragment of the page's address, "" without one. */
export function codeOf(fragment: string): string {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("code") ?? "";
}

/** Signs in and out. The session is a cookie that no script reads; what is typed is sent once and not kept. */
export class Access {
  state: AccessState = ASKING;
  /** Answers to questions before the last one come too late. */
  private serial = 0;

  constructor(private readonly options: AccessOptions) {}

  /** Learn whether one may look, after trying a one-time code if there is one. */
  async begin(code = ""): Promise<void> {
    if (!code) return this.look();
    const problem = await this.present({ code }, "code");
    if (!problem) return;
    // Whoever is signed in already does not mind that the link is spent.
    await this.look();
    this.take({ type: "rejected", problem });
  }

  /** Present an API key or token. */
  async signIn(token: string): Promise<void> {
    this.take({ type: "submitted" });
    const problem = await this.present({ token }, "token");
    if (problem) this.take({ type: "rejected", problem });
  }

  async signOut(): Promise<void> {
    const serial = ++this.serial;
    const answer = await this.answer(SESSION, { method: "DELETE" });
    if (serial !== this.serial) return;
    const done = answer && (answer.ok || answer.status === 401);
    this.take({ type: "needed", why: done ? "You are signed out." : "" });
    if (!done) {
      this.take({
        type: "rejected",
        problem: "The server did not confirm the sign-out. Close the browser to be sure.",
      });
    }
  }

  /** The server wants credentials, says the close of a connection. */
  required(code: string): void {
    this.take({ type: "needed", why: whyNeeded(code) });
  }

  /** Sign in anew before the session ends. */
  again(): void {
    this.take({ type: "needed", why: "Sign in again to stay." });
  }

  /** Ask who one is; what went wrong the last time stays as it is. */
  async look(): Promise<void> {
    const serial = ++this.serial;
    const answer = await this.answer(SESSION);
    if (serial !== this.serial) return;
    if (answer?.ok) this.take({ type: "answered", identity: identityOf(await body(answer)) });
    // A server that is open to everyone need not have sessions.
    else if (answer?.status === 404) this.take({ type: "answered", identity: null });
    else if (answer?.status === 401) {
      this.take({ type: "needed", why: whyNeeded(errorOf(await body(answer)).code) });
    } else this.take({ type: "unanswered" });
  }

  async service(): Promise<SignInService> {
    // A redirect elsewhere, which is not followed, is the offer.
    const answer = await this.answer(SERVICE, { redirect: "manual" });
    if (answer?.type === "opaqueredirect") return "ready";
    return answer?.status === 503 ? "silent" : "none";
  }

  /** Returns what was wrong, or "". */
  private async present(credentials: object, by: "token" | "code"): Promise<string> {
    const serial = ++this.serial;
    const answer = await this.answer(SESSION, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(credentials),
    });
    if (serial !== this.serial) return "";
    if (!answer) return whyRejected("", "", by);
    const said = await body(answer);
    if (answer.ok) {
      this.take({ type: "answered", identity: identityOf(said) });
      return "";
    }
    const { code, message } = errorOf(said);
    return whyRejected(code || String(answer.status), message || `status ${answer.status}`, by);
  }

  private async answer(path: string, init: RequestInit = {}): Promise<Response | null> {
    try {
      return await this.options.ask(path, { cache: "no-store", ...init });
    } catch {
      return null;
    }
  }

  private take(event: AccessEvent): void {
    const before = this.state;
    const next = step(before, event);
    if (next === before) return;
    this.state = next;
    this.options.onState(next, before);
  }
}

type Fields = Record<string, unknown>;

async function body(answer: Response): Promise<Fields> {
  try {
    const parsed: unknown = await answer.json();
    return typeof parsed === "object" && parsed !== null ? (parsed as Fields) : {};
  } catch {
    return {};
  }
}

/** null for everybody, who is whom an open server takes all for. */
function identityOf(said: Fields): Identity | null {
  if (said.method === "none") return null;
  const roles = Array.isArray(said.roles) ? said.roles.filter((r) => typeof r === "string") : [];
  return { subject: text(said.subject), roles, tenant: text(said.tenant) };
}

function errorOf(said: Fields): { code: string; message: string } {
  const error = typeof said.error === "object" && said.error !== null ? (said.error as Fields) : {};
  return { code: text(error.code), message: text(error.message) };
}

function text(v: unknown): string {
  return typeof v === "string" ? v : "";
}
