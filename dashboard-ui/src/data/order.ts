import { State } from "@weir/live";
import { gravity } from "./alerts";
import type { Series } from "./series";

export type SortKey = "worst" | "name" | "last" | "score" | "n" | "age";
export interface Sort {
  readonly key: SortKey;
  readonly descending: boolean;
}

/** What needs a person comes first: alert, anomalous, offline, warming, ok. */
const URGENCY: Record<number, number> = {
  [State.alert]: 4,
  [State.anomalous]: 3,
  [State.offline]: 2,
  [State.warming]: 1,
  [State.ok]: 0,
};

export function urgency(state: number): number {
  return URGENCY[state] ?? 0;
}

/**
 * Worst first: by state now, then by the gravest open alert, then by score, then by name. Scores are compared in tenths, or the order would
 * never rest.
 */
export function compareWorst(a: Series, b: Series): number {
  return (
    urgency(b.state) - urgency(a.state) ||
    gravity(b.severity) - gravity(a.severity) ||
    Math.round(b.latest.score * 10) - Math.round(a.latest.score * 10) ||
    a.rank - b.rank
  );
}

export function sortSeries(series: readonly Series[], sort: Sort, now: number): Series[] {
  const sign = sort.descending ? -1 : 1;
  const by = (value: (s: Series) => number) => (a: Series, b: Series) =>
    compareNumbers(value(a), value(b), sign) || a.rank - b.rank;
  const compare: Record<SortKey, (a: Series, b: Series) => number> = {
    worst: (a, b) => -sign * compareWorst(a, b),
    name: (a, b) => sign * (a.rank - b.rank),
    last: by((s) => s.latest.last),
    score: by((s) => s.latest.score),
    n: by((s) => s.latest.n),
    age: by((s) => s.age(now)),
  };
  return [...series].sort(compare[sort.key]);
}

/** Unknown values come last in both directions. */
function compareNumbers(a: number, b: number, sign: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return sign * (a - b);
}

/**
 * Order of the charts: those that were anomalous or alerting within the last minute in front, worst first,
 * the rest by name, so that charts move only for a reason.
 */
export function chartOrder(series: readonly Series[], now: number): Series[] {
  const front = (s: Series) => {
    const worst = s.worstRecently(now);
    return worst >= State.anomalous ? urgency(worst) : 0;
  };
  return [...series]
    .map((s) => ({ s, front: front(s) }))
    .sort((a, b) => b.front - a.front || gravity(b.s.severity) - gravity(a.s.severity) || a.s.rank - b.s.rank)
    .map((x) => x.s);
}

/** Case-insensitive: every word of the filter occurs in the name or is the state's. */
export function filterSeries(
  series: readonly Series[],
  filter: string,
  states: (s: Series) => string,
): Series[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...series];
  return series.filter((s) => {
    const name = s.name.toLowerCase();
    return words.every((w) => name.includes(w) || states(s) === w);
  });
}
