import type { History } from "./history";

/** Extremes since from (ms) in a series' past; NaN if it has no point since then. */
export function extremes(history: History, from: number): { min: number; max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const points of [history.coarse, history.fine]) {
    for (let i = points.firstFrom(from); i < points.size; i++) {
      const k = points.at(i);
      min = Math.min(min, points.min[k] ?? Number.POSITIVE_INFINITY);
      max = Math.max(max, points.max[k] ?? Number.NEGATIVE_INFINITY);
    }
  }
  return min <= max ? { min, max } : { min: Number.NaN, max: Number.NaN };
}
