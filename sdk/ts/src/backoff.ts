export interface BackoffOptions {
  /** Upper bound of the first delay, ms. */
  readonly base: number;
  /** Upper bound of every delay, ms. */
  readonly cap: number;
}

export const DEFAULT_BACKOFF: BackoffOptions = { base: 500, cap: 15_000 };

/**
 * Delay before attempt (0 is the first retry) in ms: exponential with full jitter, uniform in
 * [0, min(cap, base·2^attempt)), so that clients of one failed server do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoff(attempt: number, random: number, options: BackoffOptions = DEFAULT_BACKOFF): number {
  const bound = Math.min(options.cap, options.base * 2 ** Math.min(attempt, 30));
  return Math.floor(random * bound);
}
