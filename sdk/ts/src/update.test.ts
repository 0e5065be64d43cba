import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { golden, toUpdate } from "./golden.ts";
import { emptyUpdate, follow, merge, State, type Update } from "./update.ts";

/** A chain of adjacent updates, as a series produces them. */
const chain = (length: number) =>
  fc
    .array(
      fc.record({
        step: fc.integer({ min: 1, max: 5000 }),
        n: fc.integer({ min: 0, max: 4 }),
        late: fc.integer({ min: 0, max: 3 }),
        last_ts: fc.integer({ min: 1, max: 1000 }),
        values: fc.tuple(fc.integer(), fc.integer(), fc.integer()),
        state: fc.constantFrom(...Object.values(State)),
        score: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { minLength: length, maxLength: length },
    )
    .map((links) => {
      let version = -1;
      return links.map(({ step, n, late, last_ts, values, state, score }): Update => {
        const since = version;
        version += step;
        const [min = 0, last = 0, max = 0] = [...values].sort((a, b) => a - b);
        const u = { ...emptyUpdate(), version, since, late, avg: last, state, worst: state, score };
        return n === 0 ? u : { ...u, n, first_ts: last_ts - n, last_ts, last, min, max, sum: n * last };
      });
    });

const merged = (...updates: Update[]): Update => {
  const [first, ...rest] = updates.map((u) => ({ ...u }));
  for (const u of rest) expect(merge(first as Update, u)).toBe(true);
  return first as Update;
};

describe("Merge", () => {
  it("gives what Go's gives", () => {
    const cases = golden("merge.json").merges;
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) expect(merged(...c.updates.map(toUpdate)), c.name).toEqual(toUpdate(c.merged));
  });

  it("is associative", () => {
    fc.assert(
      fc.property(chain(3), ([a, b, c]) => {
        const [x, y, z] = [a, b, c] as [Update, Update, Update];
        expect(merged(merged(x, y), z)).toEqual(merged(x, merged(y, z)));
      }),
    );
  });

  it("keeps every spike and every reading of a chain", () => {
    fc.assert(
      fc.property(chain(12), (parts) => {
        const all = merged(...parts);
        const filled = parts.filter((u) => u.n > 0);
        expect(all.n).toBe(filled.reduce((n, u) => n + u.n, 0));
        expect(all.since).toBe(parts[0]?.since);
        expect(all.version).toBe(parts.at(-1)?.version);
        if (filled.length > 0) expect(all.max).toBe(Math.max(...filled.map((u) => u.max)));
        expect(all.worst).toBe(Math.max(...parts.map((u) => u.worst)));
      }),
    );
  });

  it("refuses what is not adjacent", () => {
    const u = emptyUpdate();
    expect(merge(u, { ...emptyUpdate(), since: 5, version: 6 })).toBe(false);
    expect(u).toEqual(emptyUpdate());
  });
});

describe("follow", () => {
  it("relates as Go does", () => {
    const cases = golden("merge.json").relations;
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) expect(follow(c, c.seen), JSON.stringify(c)).toBe(c.relation);
  });

  it.each([
    [10, 12, 10, "contiguous"],
    [-1, 0, -1, "contiguous"],
    [8, 10, 10, "replay"],
    [5, 8, 10, "replay"],
    [11, 12, 10, "gap"],
    [8, 12, 10, "overlap"],
  ])("(%i, %i] after %i is %s", (since, version, seen, relation) => {
    expect(follow({ since, version }, seen)).toBe(relation);
  });
});
