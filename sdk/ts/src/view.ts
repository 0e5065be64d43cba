import type { DictionaryEntry, Row, Subscribed, Updates } from "./protocol.ts";
import { RowReader } from "./rows.ts";
import { emptyUpdate, follow, NO_VERSION, type Update } from "./update.ts";

/** Where the rows of a subscription go. T is the receiver of one series. */
export interface SeriesSink<T> {
  /** The receiver of a series' rows; asked again for the same series after each reconnect. */
  open(entry: DictionaryEntry): T;
  /** A row in order. u is reused for the next row. */
  accept(target: T, u: Readonly<Update>): void;
  /** What is known of the series has changed. */
  change?(target: T, entry: DictionaryEntry): void;
  /** A row that is known already has come again: the filter or limit lets the series in once more. */
  enter?(target: T): void;
  /** The filter or limit leaves the series out from now on, until its next row. */
  leave?(target: T): void;
  /** The series is gone. */
  remove?(target: T): void;
  /** A snapshot, or what was missed, has been delivered whole. */
  snapshot?(snapshot: Subscribed): void;
  /** A frame has been delivered whole. */
  frame?(frame: Updates, bytes: number): void;
  /** Versions of before mean nothing any more: the server has another epoch. */
  reset?(): void;
}

/** A series of a view: where its rows go, and the last version seen. */
interface Slot<T> {
  readonly target: T;
  readonly series: string;
  seen: number;
}

/** What a view counts. */
export interface Counts {
  rows: number;
  readings: number;
  replays: number;
}

export interface ViewOptions<T> {
  readonly sink: SeriesSink<T>;
  readonly counts: Counts;
  /** The view has a filter or limit: series come and leave, and a chain may begin anywhere. */
  readonly sparse: boolean;
  /** The view of the connection before. */
  readonly previous?: View<T> | undefined;
  /** Told of each version as it is seen. */
  readonly seen?: ((series: string, version: number) => void) | undefined;
}

/** One subscription's view on one connection: dictionary, and the chain of versions per series. */
export class View<T> {
  readonly number: number;
  /** False once the chain is broken. */
  intact = true;
  private readonly slots = new Map<number, Slot<T>>();
  private readonly rows: RowReader;
  private readonly scratch = emptyUpdate();
  /** Versions at the newest cursor, of the series that have had rows since. */
  private readonly marks = new Map<Slot<T>, number>();
  /** Versions that a resumed view goes on from, of the series that it has not named yet. */
  private readonly known: Map<string, number>;

  /** Takes the snapshot, whose versions are where the chain begins; or, if resumed, what was missed. */
  constructor(
    snapshot: Subscribed,
    private readonly options: ViewOptions<T>,
  ) {
    this.number = snapshot.view;
    this.rows = new RowReader(snapshot.columns);
    const resumed = snapshot.resumed === true;
    this.known = (resumed && options.previous?.versions()) || new Map<string, number>();
    this.add(snapshot.dictionary);
    this.takeAll(snapshot.rows, !resumed);
    this.leave(snapshot.left);
    if (options.previous) this.dismiss(options.previous, resumed);
  }

  get size(): number {
    return this.slots.size;
  }

  /** The last version seen of the series; undefined if the view does not name it. */
  seen(series: string): number | undefined {
    for (const slot of this.slots.values()) if (slot.series === series) return slot.seen;
    return undefined;
  }

  add(entries: readonly DictionaryEntry[] = []): void {
    for (const entry of entries) {
      const { i, series } = entry;
      if (this.slots.get(i)?.series === series) continue;
      const seen = this.known.get(series) ?? NO_VERSION;
      this.known.delete(series);
      const target = this.options.sink.open(entry);
      this.slots.set(i, { target, series, seen });
    }
  }

  change(entries: readonly DictionaryEntry[] = []): void {
    for (const entry of entries) {
      const slot = this.slots.get(entry.i);
      if (slot) this.options.sink.change?.(slot.target, entry);
    }
  }

  remove(indices: readonly number[] = []): void {
    for (const i of indices) {
      const slot = this.slots.get(i);
      if (!slot) continue;
      this.slots.delete(i);
      this.marks.delete(slot);
      this.options.sink.remove?.(slot.target);
    }
  }

  /** Take an updates frame; false if the chain is broken, and then the view is of no use any more. */
  apply(frame: Updates): boolean {
    const settled = frame.cursor !== undefined;
    if (this.takeAll(frame.rows, false, !settled)) {
      if (settled) this.marks.clear();
      this.leave(frame.left);
    }
    return this.intact;
  }

  /** Versions by series as of the newest cursor: where a resumed subscription goes on. */
  versions(): Map<string, number> {
    const all = new Map(this.known);
    for (const slot of this.slots.values()) all.set(slot.series, this.marks.get(slot) ?? slot.seen);
    return all;
  }

  /**
   * Take the rows of a message if each follows the one before, and else none: what was told is then what the newest
   * cursor says. A message has one row of a series at most.
   */
  private takeAll(rows: readonly Row[], begins: boolean, mark = false): boolean {
    this.intact = rows.every((row) => this.follows(row, begins));
    if (this.intact) for (const row of rows) this.take(row, mark);
    return this.intact;
  }

  private follows(row: Row, begins: boolean): boolean {
    const slot = this.slots.get(this.rows.index(row));
    if (!slot) return false;
    if (begins || (this.options.sparse && slot.seen === NO_VERSION)) return true;
    const relation = follow(this.rows.span(row), slot.seen);
    return relation === "contiguous" || relation === "replay";
  }

  private take(row: Row, mark: boolean): void {
    const u = this.scratch;
    const slot = this.slots.get(this.rows.index(row));
    if (!slot) return;
    const { counts, sink, seen } = this.options;
    this.rows.read(row, u);
    counts.rows++;
    // A chain that begins here has seen nothing.
    if (follow(u, slot.seen) === "replay") {
      counts.replays++;
      sink.enter?.(slot.target);
      return;
    }
    if (mark && !this.marks.has(slot)) this.marks.set(slot, slot.seen);
    slot.seen = u.version;
    counts.readings += u.n;
    sink.accept(slot.target, u);
    seen?.(slot.series, u.version);
  }

  private leave(indices: readonly number[] = []): void {
    for (const i of indices) {
      const slot = this.slots.get(i);
      if (slot) this.options.sink.leave?.(slot.target);
    }
  }

  /** Part with the series of the view before that are not in this one. */
  private dismiss(previous: View<T>, resumed: boolean): void {
    const { sink, sparse } = this.options;
    const here = new Set<string>();
    for (const slot of this.slots.values()) {
      // Where series come and leave, the dictionary of a snapshot also has some that are out.
      if (!sparse || resumed || slot.seen !== NO_VERSION) here.add(slot.series);
    }
    for (const slot of previous.slots.values()) {
      if (here.has(slot.series)) continue;
      if (!sparse) sink.remove?.(slot.target);
      else if (!resumed) sink.leave?.(slot.target);
    }
  }
}
