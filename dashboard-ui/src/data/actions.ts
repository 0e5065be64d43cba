import type { AlertMessage } from "@weir/live";
import { uniqueId } from "@weir/live/id";
import type { Silence } from "./silences";

/** The part of the browser's fetch that is used; tests bring their own. */
export type Ask = (path: string, init?: RequestInit) => Promise<Response>;

export interface ActionOptions {
  readonly ask: Ask;
  /** Told of each alert that an answer holds. */
  readonly onAlert: (alert: AlertMessage) => void;
  /** Likewise of each silence. */
  readonly onSilence: (silence: Silence) => void;
}

/** What came of a request: done, stored but not applied yet, or a sentence about what was wrong. */
export type Outcome =
  | { readonly kind: "done" }
  | { readonly kind: "accepted" }
  | { readonly kind: "failed"; readonly code: string; readonly problem: string };

/** What people do to alerts, over HTTP. A try that gets no answer is repeated once, with the same key. */
export class AlertActions {
  constructor(private readonly options: ActionOptions) {}

  acknowledge(id: string, comment: string): Promise<Outcome> {
    return this.act(id, "ack", comment ? { comment } : {});
  }

  unacknowledge(id: string): Promise<Outcome> {
    return this.act(id, "unack", {});
  }

  comment(id: string, text: string): Promise<Outcome> {
    return this.act(id, "comment", { text });
  }

  assign(id: string, to: string): Promise<Outcome> {
    return this.act(id, "assign", { to });
  }

  /** Keep alerts of this one's rule and series from being news for an hour. */
  silence(alert: AlertMessage, comment: string): Promise<Outcome> {
    // A series is the pattern of itself. The id tells a repetition.
    const id = `ui-${uniqueId()}`;
    const body = { id, series: alert.series, rules: [alert.rule], duration: "1h", comment };
    return this.send("/v1/silences", body, {});
  }

  endSilence(id: string): Promise<Outcome> {
    return this.send(`/v1/silences/${encodeURIComponent(id)}`, undefined, {}, "DELETE");
  }

  /** All silences that may be known; null: the server does not say. */
  async silences(): Promise<Silence[] | null> {
    const answer = await this.answer("/v1/silences", {});
    if (!answer?.ok) return null;
    const { silences } = await read(answer);
    return Array.isArray(silences) ? (silences as Silence[]) : null;
  }

  /** Look an alert up that the feed does not hold. */
  async find(id: string): Promise<Outcome> {
    const answer = await this.answer(path(id), {});
    return this.outcome(answer);
  }

  private act(id: string, action: string, body: object): Promise<Outcome> {
    return this.send(`${path(id)}/${action}`, body, { "idempotency-key": uniqueId() });
  }

  private async send(
    to: string,
    body: object | undefined,
    headers: Record<string, string>,
    method = "POST",
  ): Promise<Outcome> {
    const init: RequestInit = body
      ? { method, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) }
      : { method, headers };
    const answer = (await this.answer(to, init)) ?? (await this.answer(to, init));
    return this.outcome(answer);
  }

  private async outcome(answer: Response | null): Promise<Outcome> {
    if (!answer) return { kind: "failed", code: "", problem: "The server does not answer. Try again." };
    const said = await read(answer);
    if (!answer.ok) {
      const error = (said.error ?? {}) as { code?: unknown; message?: unknown };
      const code = typeof error.code === "string" ? error.code : String(answer.status);
      return {
        kind: "failed",
        code,
        problem: explain(code, String(error.message ?? `status ${answer.status}`)),
      };
    }
    if (answer.status === 202) return { kind: "accepted" };
    if (typeof said.id === "string" && typeof said.phase === "string")
      this.options.onAlert(said as unknown as AlertMessage);
    if (typeof said.id === "string" && typeof said.until === "number")
      this.options.onSilence(said as unknown as Silence);
    return { kind: "done" };
  }

  private async answer(to: string, init: RequestInit): Promise<Response | null> {
    try {
      return await this.options.ask(to, { cache: "no-store", ...init });
    } catch {
      return null;
    }
  }
}

function path(id: string): string {
  return `/v1/alerts/${encodeURIComponent(id)}`;
}

async function read(answer: Response): Promise<Record<string, unknown>> {
  try {
    const parsed: unknown = await answer.json();
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function explain(code: string, message: string): string {
  switch (code) {
    case "alert_unknown":
      return "There is no such alert, or it ended long ago.";
    case "silence_unknown":
      return "There is no such silence any more.";
    case "alert_resolved":
      return "The alert ended meanwhile.";
    case "forbidden":
      return "Your credentials do not permit this.";
    case "not_stored":
      return "It was not stored. Try again.";
    case "not_ready":
      return "The server is starting. Try again in a moment.";
    default:
      return `The server refused: ${message}.`;
  }
}
