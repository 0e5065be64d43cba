import type { AlertMessage } from "@weir/live";

/** The samples of an alert as a picture: x and y in [0, 1] from the left and from the top. */
export interface Picture {
  readonly points: readonly Point[];
  /** Top and bottom of the expected band, where there is one. */
  readonly band: { readonly top: number; readonly bottom: number } | null;
  readonly limit: number | null;
  /** Times at the left and at the right, µs, and values at the top and at the bottom. */
  readonly from: number;
  readonly to: number;
  readonly high: number;
  readonly low: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly value: number;
  readonly ts: number;
}

/** null when there are no samples. One alone, or several of one instant, stand in the middle. */
export function picture(alert: AlertMessage): Picture | null {
  const samples = (alert.samples ?? []).flatMap(({ ts, value }) => (finite(value) ? [{ ts, value }] : []));
  const first = samples[0];
  const last = samples.at(-1);
  if (!first || !last) return null;
  const span = last.ts - first.ts;
  const limit = isOfValues(alert) ? alert.limit : null;
  const values = samples.map((s) => s.value);
  const shown = [...values, ...[alert.lo, alert.hi, limit].filter(finite)];
  const max = Math.max(...shown);
  const min = Math.min(...shown);
  const margin = (max - min || Math.abs(max) * 0.1 || 1) * 0.08;
  const high = max + margin;
  const low = min - margin;
  const y = (value: number) => (high - value) / (high - low);
  return {
    points: samples.map((s) => ({ ...s, x: span > 0 ? (s.ts - first.ts) / span : 0.5, y: y(s.value) })),
    band: finite(alert.lo) && finite(alert.hi) ? { top: y(alert.hi), bottom: y(alert.lo) } : null,
    limit: finite(limit) ? y(limit) : null,
    from: first.ts,
    to: last.ts,
    high,
    low,
  };
}

/**
 * Whether the limit is a value of the series: that of an absence is in seconds, of a rate a change per second, and
 * of an anomaly a score.
 */
export function isOfValues(alert: AlertMessage): boolean {
  return alert.detector === "threshold";
}

function finite(v: number | null | undefined): v is number {
  return typeof v === "number" && Number.isFinite(v);
}
