import { ProtocolError } from "./parse.ts";
import { COLUMNS, type Column, type Row } from "./protocol.ts";
import type { Update } from "./update.ts";

type Places = Record<Column, number>;
type Cells = (number | null | undefined)[];

/** Place of a column that is not told: no row is as long. */
const NOWHERE = 1 << 20;

/** What rows with omitted cells refer to: the series' row before in the same view. */
export type Before = Pick<Update, "version" | "last" | "avg" | "lo" | "hi" | "state">;

/** Reads rows by the columns that a `subscribed` announced; those it does not know are passed over. */
export class RowReader {
  private readonly at: Places;
  private readonly width: number;
  private readonly cells: Cells;

  /** With delta, a row is its index, a mask of the columns left out, and the others' cells. */
  constructor(
    columns: readonly string[],
    readonly delta = false,
  ) {
    const places: Partial<Places> = {};
    for (const name of COLUMNS) {
      const place = columns.indexOf(name);
      if (place < 0 && ALWAYS.includes(name)) throw new ProtocolError(`column ${name} is missing`);
      places[name] = place < 0 ? NOWHERE : place;
    }
    this.at = places as Places;
    if (delta && this.at.i !== 0) throw new ProtocolError("column i is not the first");
    this.width = columns.length;
    this.cells = new Array<number | null | undefined>(columns.length);
  }

  /** Index into the view's dictionary. */
  index(row: Row): number {
    return row[this.at.i] ?? -1;
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
    const at = this.at;
    u.version = row[at.version] ?? -1;
    u.since = row[at.since] ?? -1;
    u.n = row[at.n] ?? 0;
    u.late = row[at.late] ?? 0;
    u.invalid = row[at.invalid] ?? 0;
    u.first_ts = row[at.first_ts] ?? 0;
    u.last_ts = row[at.last_ts] ?? 0;
    u.last = row[at.last] ?? Number.NaN;
    u.min = row[at.min] ?? Number.NaN;
    u.max = row[at.max] ?? Number.NaN;
    u.sum = row[at.sum] ?? 0;
    u.avg = row[at.avg] ?? Number.NaN;
    u.lo = row[at.lo] ?? Number.NaN;
    u.hi = row[at.hi] ?? Number.NaN;
    u.state = row[at.state] ?? 0;
    u.score = row[at.score] ?? 0;
    u.worst = row[at.worst] ?? 0;
    u.ingest_ts = row[at.ingest_ts] ?? 0;
    u.emit_ts = row[at.emit_ts] ?? 0;
  }

  /** Put the cells of a delta row where they belong. */
  private expand(row: Row, omitted: number): void {
    const { cells, width } = this;
    let next = 2;
    cells[0] = row[0];
    for (let c = 1; c < width; c++) cells[c] = (omitted >> (c - 1)) & 1 ? undefined : row[next++];
    if (next !== row.length) throw new ProtocolError(`a row of ${row.length} cells omits ${omitted}`);
  }

  /** Give the omitted cells the values they have; a late, invalid or score of 0 they have already. */
  private imply(omitted: number, u: Update, before: Readonly<Before>): void {
    const { at } = this;
    const left = (place: number) => place < NOWHERE && ((omitted >> (place - 1)) & 1) === 1;
    if (left(at.version)) throw new ProtocolError("a row omits its version");
    if (left(at.since)) u.since = before.version;
    if (left(at.n)) u.n = 1;
    if (left(at.first_ts)) u.first_ts = u.last_ts;
    if (left(at.last)) u.last = before.last;
    if (left(at.min)) u.min = u.last;
    if (left(at.max)) u.max = u.last;
    if (left(at.sum)) u.sum = u.last;
    if (left(at.avg)) u.avg = before.avg;
    if (left(at.lo)) u.lo = before.lo;
    if (left(at.hi)) u.hi = before.hi;
    if (left(at.state)) u.state = before.state;
    if (left(at.worst)) u.worst = u.state;
    if (left(at.ingest_ts)) u.ingest_ts = u.last_ts;
    if (left(at.emit_ts)) u.emit_ts = u.ingest_ts;
  }
}

/** Columns that every row has. */
const ALWAYS: readonly string[] = ["i", "version", "since", "n"];
