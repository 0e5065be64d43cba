import { ProtocolError } from "./parse.ts";
import type { Row } from "./protocol.ts";
import { emptyUpdate, type Update } from "./update.ts";

/** A field of an Update, its place in a row, and its value where a row has none. */
interface Field {
  readonly name: keyof Update;
  readonly place: number;
  readonly otherwise: number;
}

/** Columns that every row begins with. */
const ALWAYS: readonly string[] = ["i", "version", "since", "n"];

/** Reads rows by the columns that a `subscribed` announced; those it does not know are passed over. */
export class RowReader {
  private readonly fields: readonly Field[];

  constructor(columns: readonly string[]) {
    const missing = ALWAYS.find((name, place) => columns[place] !== name);
    if (missing) throw new ProtocolError(`column ${missing} is not where it belongs`);
    const empty = emptyUpdate();
    this.fields = (Object.keys(empty) as (keyof Update)[]).map((name) => ({
      name,
      place: columns.indexOf(name),
      otherwise: empty[name],
    }));
  }

  /** Index into the view's dictionary. */
  index(row: Row): number {
    return row[0] ?? -1;
  }

  /** What the row covers. */
  span(row: Row): Pick<Update, "since" | "version"> {
    return { version: row[1] as number, since: row[2] as number };
  }

  /** Fill u from row: no allocation for the many rows of a frame. */
  read(row: Row, u: Update): void {
    for (const { name, place, otherwise } of this.fields)
      u[name] = (place < 0 ? null : row[place]) ?? otherwise;
  }
}
