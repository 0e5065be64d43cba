import { ProtocolError } from "./parse.ts";
import type { Row } from "./protocol.ts";
import { emptyUpdate, type Update } from "./update.ts";

type Cells = (number | null | undefined)[];

/** A field of an Update, its place in a row, and its value where a row has none. */
interface Field {
  readonly name: keyof Update;
  readonly place: number;
  readonly otherwise: number;
}

/** What rows with omitted cells refer to: the series' row before in the same view. */
export type Before = Pick<Update, "version" | "last" | "avg" | "lo" | "hi" | "state">;

/** Columns that every row has. */
const ALWAYS: readonly string[] = ["i", "version", "since", "n"];

/** Cells left out that are as in the row before, and those that equal another of the same row, in this order. */
const AS_BEFORE = ["last", "avg", "lo", "hi", "state"] as const;
const AS_OTHER = [
  ["first_ts", "last_ts"],
  ["min", "last"],
  ["max", "last"],
  ["sum", "last"],
  ["worst", "state"],
  ["ingest_ts", "last_ts"],
  ["emit_ts", "ingest_ts"],
] as const;

/** Reads rows by the columns that a `subscribed` announced; those it does not know are passed over. */
export class RowReader {
  private readonly fields: readonly Field[];
  private readonly cells: Cells;
  /** Of each column in the mask. */
  private readonly bits: ReadonlyMap<string, number>;

  /** With delta, a row is its index, a mask of the columns left out, and the others' cells. */
  constructor(
    columns: readonly string[],
    readonly delta = false,
  ) {
    const missing = ALWAYS.find((name) => !columns.includes(name));
    if (missing || columns[0] !== "i")
      throw new ProtocolError(`column ${missing ?? "i"} is not where it belongs`);
    const empty = emptyUpdate();
    this.fields = (Object.keys(empty) as (keyof Update)[]).map((name) => ({
      name,
      place: columns.indexOf(name),
      otherwise: empty[name],
    }));
    this.cells = columns.map(() => undefined);
    this.bits = new Map(columns.slice(1).map((name, bit) => [name, 1 << bit]));
  }

  /** Index into the view's dictionary. */
  index(row: Row): number {
    return row[0] ?? -1;
  }

  /** Fill u from row: no allocation for the many rows of a frame. before counts only with delta. */
  read(row: Row, u: Update, before: Readonly<Before>): void {
    if (!this.delta) {
      this.fill(row, u);
      return;
    }
    const omitted = row[1] ?? 0;
    this.expand(row, omitted);
    this.fill(this.cells, u);
    this.imply(omitted, u, before);
  }

  private fill(row: Readonly<Cells>, u: Update): void {
    for (const { name, place, otherwise } of this.fields)
      u[name] = (place < 0 ? null : row[place]) ?? otherwise;
  }

  /** Put the cells of a delta row where they belong. */
  private expand(row: Row, omitted: number): void {
    const { cells } = this;
    let next = 2;
    for (let c = 1; c < cells.length; c++) cells[c] = (omitted >> (c - 1)) & 1 ? undefined : row[next++];
    if (next !== row.length) throw new ProtocolError(`a row of ${row.length} cells omits ${omitted}`);
  }

  /** Give the omitted cells the values they have; a late, invalid or score of 0 they have already. */
  private imply(omitted: number, u: Update, before: Readonly<Before>): void {
    const left = (name: string) => (omitted & (this.bits.get(name) ?? 0)) !== 0;
    if (left("version")) throw new ProtocolError("a row omits its version");
    if (left("since")) u.since = before.version;
    if (left("n")) u.n = 1;
    for (const name of AS_BEFORE) if (left(name)) u[name] = before[name];
    for (const [name, other] of AS_OTHER) if (left(name)) u[name] = u[other];
  }
}
