import { Emitter } from "./emitter.ts";
import { comparator } from "./order.ts";
import { BREAK, emptyPoint, Points } from "./points.ts";
import type { DictionaryEntry } from "./protocol.ts";
import { emptyUpdate, NO_VERSION, type Update } from "./update.ts";
import type { SeriesSink } from "./view.ts";

export interface StoreEvents {
  /** After each frame: the series that have changed. The set is reused. */
  changed: ReadonlySet<StoredSeries>;
  removed: StoredSeries;
}

export interface StoreOptions {
  /** Points kept of each series: a power of two. Default 1024; they take 65 bytes each once they are filled. */
  readonly points?: number;
}

/** One series: its newest update and its recent past. */
export class StoredSeries {
  /** Newest values; n, late and invalid are of the newest row only. */
  readonly latest: Update = emptyUpdate();
  /** A point for each row that holds readings, oldest first. */
  readonly points: Points;
  /** What is known of it: unit, tags, … */
  meta: DictionaryEntry;
  /** Whether the subscription's filter and limit let it through now. */
  inside = false;
  rows = 0;
  readings = 0;
  /** Grows with every change. */
  revision = 0;
  private readonly point = emptyPoint();

  constructor(
    readonly name: string,
    meta: DictionaryEntry,
    points: number,
  ) {
    this.meta = meta;
    this.points = new Points(points);
  }

  /** Take a row; false if it was known already. */
  accept(u: Readonly<Update>): boolean {
    const known = this.latest.version;
    if (u.version <= known) return false;
    const broken = known !== NO_VERSION && u.since > known;
    const { last, min, max, first_ts, last_ts } = this.latest;
    Object.assign(this.latest, u);
    // A row without readings only advances the version: the values stay.
    if (u.n === 0) Object.assign(this.latest, { last, min, max, first_ts, last_ts });
    else this.add(u, broken);
    this.rows++;
    this.readings += u.n;
    this.revision++;
    return true;
  }

  reset(): void {
    Object.assign(this.latest, emptyUpdate());
    this.points.clear();
    this.rows = this.readings = 0;
    this.revision++;
  }

  private add(u: Readonly<Update>, broken: boolean): void {
    const p = this.point;
    p.time = u.last_ts / 1000;
    p.last = u.last;
    p.avg = u.avg;
    p.lo = u.lo;
    p.hi = u.hi;
    p.min = u.min;
    p.max = u.max;
    p.flags = u.worst | (broken ? BREAK : 0);
    // Charts need growing times.
    const { points } = this;
    if (points.size > 0 && p.time <= points.timeAt(points.size - 1)) points.mergeIntoNewest(p);
    else points.push(p);
  }
}

/** The newest update and the recent past of each series of a subscription, in bounded memory per series. */
export class SeriesStore extends Emitter<StoreEvents> implements SeriesSink<StoredSeries> {
  private readonly byName = new Map<string, StoredSeries>();
  private readonly touched = new Set<StoredSeries>();
  private readonly limit: number;

  constructor(options: StoreOptions = {}) {
    super();
    this.limit = options.points ?? 1024;
  }

  get size(): number {
    return this.byName.size;
  }

  get(name: string): StoredSeries | undefined {
    return this.byName.get(name);
  }

  /** All series that the subscription's filter and limit let through, by order: see comparator. */
  list(order?: string): StoredSeries[] {
    const inside = [...this.byName.values()].filter((s) => s.inside);
    return inside.sort(comparator(order));
  }

  [Symbol.iterator](): IterableIterator<StoredSeries> {
    return this.byName.values();
  }

  open(entry: DictionaryEntry): StoredSeries {
    const known = this.byName.get(entry.series);
    if (known) {
      known.meta = entry;
      return known;
    }
    const series = new StoredSeries(entry.series, entry, this.limit);
    this.byName.set(entry.series, series);
    return series;
  }

  accept(series: StoredSeries, u: Readonly<Update>): void {
    // After a resync a row may be known, and its series be inside all the same.
    this.enter(series);
    if (series.accept(u)) this.touched.add(series);
  }

  enter(series: StoredSeries): void {
    if (series.inside) return;
    series.inside = true;
    series.revision++;
    this.touched.add(series);
  }

  change(series: StoredSeries, entry: DictionaryEntry): void {
    series.meta = entry;
    series.revision++;
    this.touched.add(series);
    this.tell();
  }

  leave(series: StoredSeries): void {
    series.inside = false;
    series.revision++;
    this.touched.add(series);
  }

  remove(series: StoredSeries): void {
    if (this.byName.get(series.name) === series) this.byName.delete(series.name);
    this.emit("removed", series);
  }

  snapshot(): void {
    this.tell();
  }

  frame(): void {
    this.tell();
  }

  reset(): void {
    for (const series of this.byName.values()) series.reset();
  }

  private tell(): void {
    if (this.touched.size === 0) return;
    this.emit("changed", this.touched);
    this.touched.clear();
  }
}
