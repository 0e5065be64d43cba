import { readFileSync } from "node:fs";

/** Files that Go writes and both sides test against. Update rows are objects with the wire's field names. */
export interface GoldenFiles {
  "codes.json": {
    close: { code: number; reason: string; action: string; meaning: string }[];
    errors: { code: string; scope: string; status: number; meaning: string }[];
  };
}

export function golden<K extends keyof GoldenFiles>(name: K): GoldenFiles[K] {
  const url = new URL(`../../wire/testdata/golden/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as GoldenFiles[K];
}
