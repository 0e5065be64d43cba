import { COLUMNS, type Column, ProtocolError, type Row } from "../live/protocol";
import type { Update } from "./update";

type Places = Record<Column, number>;

/** Reads rows by the column order that a `subscribed` announced; columns it does not know are passed over. */
export class RowReader {
  private readonly at: Places;

  constructor(columns: readonly string[]) {
    const places: Partial<Places> = {};
    for (const name of COLUMNS) {
      const place = columns.indexOf(name);
      if (place < 0) throw new ProtocolError(`column ${name} is missing`);
      places[name] = place;
    }
    this.at = places as Places;
  }

  /** Index into the view's dictionary. */
  index(row: Row): number {
    return row[this.at.i] ?? -1;
  }

  /** Fill u from row: no allocation for the many rows of a frame. */
  read(row: Row, u: Update): void {
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
}
