import type { Points } from "@weir/live";

export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * Values a chart must show: all of the envelope, and of the moving average and the expected band as much as
 * fits into one more height of the envelope on either side (a wide band would flatten the line).
 */
export function extent(points: Points): Range | null {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let lo = Number.POSITIVE_INFINITY;
  let hi = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < points.size; i++) {
    const k = points.at(i);
    min = Math.min(min, points.min[k] ?? Number.NaN);
    max = Math.max(max, points.max[k] ?? Number.NaN);
    const l = points.lo[k] ?? Number.NaN;
    const h = points.hi[k] ?? Number.NaN;
    const a = points.avg[k] ?? Number.NaN;
    // Comparisons with NaN are false: what is unknown is passed over.
    if (l < lo) lo = l;
    if (a < lo) lo = a;
    if (h > hi) hi = h;
    if (a > hi) hi = a;
  }
  if (!(min <= max)) return null;
  const room = max - min || Math.abs(max) * 0.05 || 1;
  return { min: Math.min(min, Math.max(lo, min - room)), max: Math.max(max, Math.min(hi, max + room)) };
}

/** Values beyond this are off the chart: the difference of two that are farther out is infinite. */
const FARTHEST = 1e307;
/** The least height of a range, and as a part of its values: the chart looks for ticks without end where they do not differ. */
const LEAST = 1e-300;
const FINEST = 1e-12;

/**
 * The y range for an extent. The former range stays while it fits, so that the axis does not tremble: until
 * the values leave it, or would fill less than half of it.
 */
export function settle(former: Range | null, want: Range): Range {
  const min = Math.max(-FARTHEST, Math.min(FARTHEST, want.min));
  const max = Math.max(-FARTHEST, Math.min(FARTHEST, want.max));
  const size = Math.max(Math.abs(min), Math.abs(max));
  const height = max > min ? Math.max(max - min, size * FINEST) : size * 0.1 || 1;
  const span = Math.max(height, LEAST);
  if (former && min >= former.min && max <= former.max && span > 0.5 * (former.max - former.min)) {
    return former;
  }
  const middle = min / 2 + max / 2;
  const half = span * 0.5 * 1.24;
  return { min: middle - half, max: middle + half };
}
