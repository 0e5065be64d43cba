import { RowReader } from "../data/rows";
import { emptyUpdate, follow, NO_VERSION, type Relation, type Update } from "../data/update";
import type { DictionaryEntry, Row, Subscribed } from "./protocol";

/** A series of a view: where its rows go, and the last version seen on this connection. */
interface Slot<T> {
  readonly target: T;
  seen: number;
}

export interface ViewSink<T> {
  /** The receiver of a series' rows. */
  open(series: string): T;
  /** A row in order. u is reused for the next row. */
  accept(target: T, u: Readonly<Update>): void;
}

export type Counts = Record<Relation, number>;

/** One subscription's view on one connection: dictionary, and the chain of versions per series. */
export class View<T> {
  readonly number: number;
  readonly counts: Counts = { contiguous: 0, replay: 0, gap: 0, overlap: 0 };
  private readonly slots: (Slot<T> | undefined)[] = [];
  private readonly rows: RowReader;
  private readonly scratch = emptyUpdate();

  /** Takes the snapshot: its versions are where the chain begins. */
  constructor(
    snapshot: Subscribed,
    private readonly sink: ViewSink<T>,
  ) {
    this.number = snapshot.view;
    this.rows = new RowReader(snapshot.columns);
    this.add(snapshot.dictionary);
    for (const row of snapshot.rows) {
      const slot = this.slots[this.rows.index(row)];
      if (!slot) continue;
      this.rows.read(row, this.scratch);
      slot.seen = this.scratch.version;
      this.sink.accept(slot.target, this.scratch);
    }
  }

  get size(): number {
    return this.slots.length;
  }

  add(entries: readonly DictionaryEntry[]): void {
    for (const { i, series } of entries) {
      this.slots[i] ??= { target: this.sink.open(series), seen: NO_VERSION };
    }
  }

  /**
   * Take the rows of an updates frame. False when the chain is broken (something was missed, or a row
   * overlaps, or names no series): the view is of no use any more and must be subscribed anew.
   */
  apply(rows: readonly Row[]): boolean {
    const u = this.scratch;
    for (const row of rows) {
      const slot = this.slots[this.rows.index(row)];
      if (!slot) {
        this.counts.gap++;
        return false;
      }
      this.rows.read(row, u);
      const relation = follow(u, slot.seen);
      this.counts[relation]++;
      if (relation === "replay") continue;
      if (relation !== "contiguous") return false;
      slot.seen = u.version;
      this.sink.accept(slot.target, u);
    }
    return true;
  }
}
