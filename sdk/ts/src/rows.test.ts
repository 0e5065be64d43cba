import { describe, expect, it } from "vitest";
import { golden, toUpdate } from "./golden.ts";
import type { Row } from "./protocol.ts";
import { RowReader } from "./rows.ts";
import { emptyUpdate, type Update } from "./update.ts";

const NONE = emptyUpdate();

function read(reader: RowReader, row: Row): Update {
  const u = emptyUpdate();
  reader.read(row, u);
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

  it("without the columns that every row has, and i in front, are refused", () => {
    expect(() => new RowReader(["version", "since", "n", "i"])).toThrow("column i");
    expect(() => new RowReader(["i", "version", "n", "last"])).toThrow("since");
  });
});
