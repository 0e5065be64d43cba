import { describe, expect, it } from "vitest";
import { golden, toUpdate } from "../golden";
import { COLUMNS, ProtocolError } from "../live/protocol";
import { RowReader } from "./rows";
import { emptyUpdate } from "./update";

describe("rows", () => {
  const { columns, rows } = golden("rows.json");

  it("have the columns that the server names", () => {
    expect([...COLUMNS]).toEqual(columns);
  });

  it("are read as Go wrote them", () => {
    expect(rows.length).toBeGreaterThan(0);
    const reader = new RowReader(columns);
    for (const c of rows) {
      const u = emptyUpdate();
      reader.read(c.row, u);
      expect(u, c.name).toEqual(toUpdate(c.update));
      expect(reader.index(c.row)).toBe(c.i);
    }
  });

  it("are read by the server's order of columns, whatever it adds", () => {
    const reader = new RowReader(["later", ...[...columns].reverse()]);
    for (const c of rows) {
      const u = emptyUpdate();
      reader.read([1, ...[...c.row].reverse()], u);
      expect(u, c.name).toEqual(toUpdate(c.update));
    }
  });

  it("cannot be read without a column", () => {
    expect(() => new RowReader(columns.slice(1))).toThrow(ProtocolError);
  });
});
