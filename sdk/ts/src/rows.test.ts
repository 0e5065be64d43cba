import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { golden, toUpdate } from "./golden.ts";
import { COLUMNS, type Row } from "./protocol.ts";
import { RowReader } from "./rows.ts";
import { emptyUpdate, type Update } from "./update.ts";

const NONE = emptyUpdate();

function read(reader: RowReader, row: Row, before: Update = NONE): Update {
  const u = emptyUpdate();
  reader.read(row, u, before);
  return u;
}

describe("rows", () => {
  it("say what Go's say", () => {
    const { columns, rows } = golden("rows.json");
    const reader = new RowReader(columns);
    expect(rows.length).toBeGreaterThan(0);
    for (const r of rows) {
      expect(reader.index(r.row), r.name).toBe(r.i);
      expect(read(reader, r.row), r.name).toEqual(toUpdate(r.update));
    }
  });

  it("may have some of the columns only, in another order, and ones that are new", () => {
    const reader = new RowReader(["i", "version", "since", "n", "novelty", "max", "last"]);
    expect(read(reader, [4, 9, 8, 1, 77, 3, 2])).toEqual({
      ...NONE,
      version: 9,
      since: 8,
      n: 1,
      max: 3,
      last: 2,
    });
  });

  it("without a column that every row has are refused", () => {
    expect(() => new RowReader(["i", "version", "n", "last"])).toThrow("since");
  });
});

/** The other half of the reader: leave out what is implied, of the columns of a mask. */
function compress(i: number, u: Update, before: Update, allowed: number): Row {
  const implied: Partial<Update> = {
    since: before.version,
    n: 1,
    late: 0,
    invalid: 0,
    first_ts: u.last_ts,
    last: before.last,
    ...(u.n === 1 && { min: u.last, max: u.last, sum: u.last }),
    avg: before.avg,
    lo: before.lo,
    hi: before.hi,
    state: before.state,
    score: 0,
    worst: u.state,
    ingest_ts: u.last_ts,
    emit_ts: u.ingest_ts,
  };
  let omitted = 0;
  const cells: (number | null)[] = [];
  for (const [bit, name] of COLUMNS.slice(1).entries()) {
    const key = name as keyof Update;
    if ((allowed >> bit) & 1 && key in implied && Object.is(implied[key], u[key])) omitted |= 1 << bit;
    else cells.push(Number.isNaN(u[key]) ? null : u[key]);
  }
  return [i, omitted, ...cells];
}

describe("delta rows", () => {
  const value = fc.oneof(fc.constant(Number.NaN), fc.constantFrom(1, 2, 3));
  const update = fc
    .record({
      n: fc.nat(2),
      late: fc.nat(1),
      last_ts: fc.constantFrom(1000, 2000),
      ingest_ts: fc.constantFrom(1000, 3000),
      last: fc.constantFrom(1, 2, 3),
      avg: value,
      lo: value,
      hi: value,
      state: fc.constantFrom(0, 4),
      worst: fc.constantFrom(0, 4),
      score: fc.constantFrom(0, 0.5),
    })
    .map((r): Update => {
      const same = { ...emptyUpdate(), ...r, emit_ts: r.ingest_ts };
      if (r.n === 0) return { ...same, last: Number.NaN, last_ts: 0 };
      return { ...same, first_ts: r.last_ts, min: r.last, max: r.last, sum: r.n * r.last };
    });

  it("say the same as whole ones, whichever implied cells they leave out", () => {
    const reader = new RowReader(COLUMNS, true);
    fc.assert(
      fc.property(fc.array(fc.tuple(update, fc.nat(0x7ffff)), { maxLength: 20 }), (rows) => {
        let before = emptyUpdate();
        for (const [version, [u, allowed]] of rows.entries()) {
          const want = { ...u, version, since: before.version };
          expect(read(reader, compress(3, want, before, allowed), before)).toEqual(want);
          before = want;
        }
      }),
    );
  });

  it("are read by the columns that were chosen", () => {
    const reader = new RowReader(["i", "version", "since", "n", "last", "state"], true);
    const before = { ...NONE, version: 8, state: 3 };
    // since, n and state are left out: bits 1, 2 and 4.
    expect(read(reader, [0, 0b10110, 9, 21.5], before)).toMatchObject({
      version: 9,
      since: 8,
      n: 1,
      last: 21.5,
      state: 3,
    });
  });

  it.each([
    ["that omit their version", [0, 1, 0, 1, 2]],
    ["that are short", [0, 0, 9, 8]],
    ["that are long", [0, 0b10, 9, 1, 1, 5, 6]],
  ])("%s are refused", (_, row) => {
    const reader = new RowReader(["i", "version", "since", "n", "last"], true);
    expect(() => read(reader, row)).toThrow("a row");
  });
});
