import { readFileSync } from "node:fs";
import { emptyUpdate, type Update } from "./update.ts";

/** An Update with the wire's field names; null where a value is unknown. */
export type GoldenUpdate = { readonly [K in keyof Update]: number | null };

/** Files that Go writes and both sides test against. */
export interface GoldenFiles {
  "codes.json": {
    close: { code: number; reason: string; action: string; meaning: string }[];
    errors: { code: string; scope: string; status: number; meaning: string }[];
  };
  "merge.json": {
    merges: { name: string; updates: GoldenUpdate[]; merged: GoldenUpdate }[];
    relations: { since: number; version: number; seen: number; relation: string }[];
  };
  "patterns.json": {
    matches: { pattern: string; path: string; matches: boolean }[];
    refused: { pattern: string; code: string }[];
  };
  "rows.json": {
    columns: string[];
    rows: { name: string; i: number; update: GoldenUpdate; row: (number | null)[] }[];
  };
  "live_proto.json": { server: { name: string; hex: string; message: { type: string; payload: object } }[] };
  "live.json": { server: { type: string; payload?: object }[]; client: { type: string; payload?: object }[] };
}

export function golden<K extends keyof GoldenFiles>(name: K): GoldenFiles[K] {
  const url = new URL(`../../../wire/testdata/golden/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as GoldenFiles[K];
}

/** The Update that a golden object stands for; with n = 0 its values say nothing and are those of an empty one. */
export function toUpdate(g: GoldenUpdate): Update {
  const u = emptyUpdate();
  for (const key of Object.keys(u) as (keyof Update)[]) u[key] = g[key] ?? u[key];
  return u;
}
