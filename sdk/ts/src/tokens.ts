/** Why credentials are asked for: for the first time, because they end soon, or because the server refused the last. */
export type TokenReason = "first" | "expiring" | "refused";

/**
 * Gives credentials (an API key or a JWT), or null if the connection's cookie does. An error is taken for a passing one
 * and the question repeated with back-off, unless it is SignInNeeded.
 */
export type GetToken = (reason: TokenReason) => string | null | Promise<string | null>;

/** Thrown by a GetToken that cannot give credentials without a person. */
export class SignInNeeded extends Error {
  override readonly name = "SignInNeeded";
}

/** The credentials in use. */
export class Tokens {
  token: string | null = null;
  private reason: TokenReason = "first";
  private known = false;
  /** The server refused what was given last, and has welcomed nothing since. */
  private again = false;

  constructor(private readonly getToken: GetToken | undefined) {}

  /** Whether they have to be asked for before the next dial. */
  get wanted(): boolean {
    return this.getToken !== undefined && !this.known;
  }

  async fetch(): Promise<string | null> {
    const token = (await this.getToken?.(this.reason)) ?? null;
    this.token = token;
    this.known = true;
    return token;
  }

  /** New ones for the open connection. */
  renew(): Promise<string | null> {
    if (!this.getToken) return Promise.resolve(null);
    this.reason = "expiring";
    return this.fetch();
  }

  accepted(): void {
    this.again = false;
  }

  /** Note that the server refused them; false if it is of no use to ask for others. */
  refused(): boolean {
    this.known = false;
    this.token = null;
    this.reason = "refused";
    if (!this.getToken || this.again) return false;
    this.again = true;
    return true;
  }
}
