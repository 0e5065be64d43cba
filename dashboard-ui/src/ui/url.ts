import { STATE_NAMES, type StateName } from "@weir/live";
import type { Sort, SortKey } from "../data/order";

/** What the page shows; all of it is in the address, so that a view can be sent to a colleague. */
export interface ViewState {
  readonly pattern: string;
  /** Seconds. */
  readonly window: number;
  /** Page of the chart grid, from 0. */
  readonly page: number;
  /** Series in the large chart, or "". */
  readonly series: string;
  /** An instant of that series that somebody was led to, µs; 0: none. */
  readonly at: number;
  /** Id of the alert that is open in place of the charts, or "". */
  readonly alert: string;
  readonly filter: string;
  readonly state: StateName | "";
  readonly sort: Sort;
}

export const WINDOWS: readonly number[] = [60, 300, 900];
export const SORT_KEYS: readonly SortKey[] = ["worst", "name", "last", "score", "n", "age"];
export const DEFAULT_VIEW: ViewState = {
  pattern: "#",
  window: 60,
  page: 0,
  series: "",
  at: 0,
  alert: "",
  filter: "",
  state: "",
  sort: { key: "worst", descending: true },
};

/** The view after a change. Who goes to another series leaves the instant, and the alert that was open. */
export function changed(v: ViewState, change: Partial<ViewState>): ViewState {
  const left = change.series === undefined ? {} : { at: 0, alert: "" };
  return { ...v, ...left, ...change };
}

/** Read a query string; whatever is missing or wrong is the default's. */
export function parseView(search: string): ViewState {
  const q = new URLSearchParams(search);
  const window = Number(q.get("window"));
  const page = Number(q.get("page"));
  const state = STATE_NAMES.find((s) => s === q.get("state"));
  return {
    pattern: q.get("pattern") || DEFAULT_VIEW.pattern,
    window: WINDOWS.includes(window) ? window : DEFAULT_VIEW.window,
    page: Number.isInteger(page) && page > 0 ? page - 1 : 0,
    series: q.get("series") ?? "",
    at: instant(q.get("at")),
    alert: q.get("alert") ?? "",
    filter: q.get("filter") ?? "",
    state: state ?? "",
    sort: parseSort(q.get("sort") ?? ""),
  };
}

/** The query string of a view, "" for the default one. */
export function formatView(v: ViewState): string {
  const q = new URLSearchParams();
  if (v.pattern !== DEFAULT_VIEW.pattern) q.set("pattern", v.pattern);
  if (v.window !== DEFAULT_VIEW.window) q.set("window", String(v.window));
  if (v.page > 0) q.set("page", String(v.page + 1));
  if (v.series) q.set("series", v.series);
  if (v.series && v.at > 0) q.set("at", String(v.at));
  if (v.alert) q.set("alert", v.alert);
  if (v.filter) q.set("filter", v.filter);
  if (v.state) q.set("state", v.state);
  const sort = formatSort(v.sort);
  if (sort !== formatSort(DEFAULT_VIEW.sort)) q.set("sort", sort);
  const text = q.toString().replaceAll("%2F", "/");
  return text ? `?${text}` : "";
}

/** Where a fragment `#/series/PATH?at=µs` leads, as alerts link to an instant; null for any other. */
export function parseInstant(fragment: string): { series: string; at: number } | null {
  const found = /^#\/series\/([^?]+)(?:\?(.*))?$/.exec(fragment);
  if (!found?.[1]) return null;
  try {
    return { series: decodeURIComponent(found[1]), at: instant(new URLSearchParams(found[2]).get("at")) };
  } catch {
    return null; // an escape that is none
  }
}

function instant(text: string | null): number {
  const us = Number(text);
  return Number.isSafeInteger(us) && us > 0 ? us : 0;
}

function parseSort(text: string): Sort {
  const key = SORT_KEYS.find((k) => k === text.replace(/^-/, ""));
  return key ? { key, descending: text.startsWith("-") } : DEFAULT_VIEW.sort;
}

function formatSort(sort: Sort): string {
  return (sort.descending ? "-" : "") + sort.key;
}
