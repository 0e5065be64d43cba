import type { Update } from "./update.ts";

/** What is compared: a series' name and newest update. */
export interface Ordered {
  readonly name: string;
  readonly latest: Readonly<Update>;
}

/**
 * Compares as the server's `order` does: "worst" is by state, score and distance from the average in widths of the band,
 * all descending, then by name; else a column's name, with "-" in front for descending. Unknown values come last.
 */
export function comparator(order = "worst"): (a: Ordered, b: Ordered) => number {
  if (order === "worst") {
    return (a, b) =>
      descending(a.latest.state, b.latest.state) ||
      descending(a.latest.score, b.latest.score) ||
      descending(distance(a.latest), distance(b.latest)) ||
      byName(a, b);
  }
  const down = order.startsWith("-");
  const column = (down ? order.slice(1) : order) as keyof Update;
  const sign = down ? 1 : -1;
  return (a, b) => sign * descending(a.latest[column], b.latest[column], sign) || byName(a, b);
}

function distance(u: Readonly<Update>): number {
  return Math.abs(u.last - u.avg) / (u.hi - u.lo);
}

/** With sign −1 the result is going to be turned round, which must not move the unknown. */
function descending(a: number, b: number, sign = 1): number {
  const unknown = Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  if (unknown !== 0 || Number.isNaN(a)) return sign * unknown;
  return a === b ? 0 : a > b ? -1 : 1;
}

function byName(a: Ordered, b: Ordered): number {
  return a.name < b.name ? -1 : Number(a.name > b.name);
}
