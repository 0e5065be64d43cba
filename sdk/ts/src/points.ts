/**
 * What a chart keeps of updates: a growing ring of typed arrays. A point stands for one row or, merged, for
 * several; merging keeps the newest last, avg and band, and the extremes, so a spike is never lost.
 */

/** Bits of flags: the worst state of the point, and whether the line is broken before it. */
export const WORST_MASK = 0x07;
export const BREAK = 0x80;

export interface Point {
  /** ms */
  time: number;
  last: number;
  avg: number;
  lo: number;
  hi: number;
  min: number;
  max: number;
  flags: number;
}

export function emptyPoint(): Point {
  const nan = Number.NaN;
  return { time: 0, last: nan, avg: nan, lo: nan, hi: nan, min: nan, max: nan, flags: 0 };
}

type Lane = Exclude<keyof Point, "flags">;
const LANES: readonly Lane[] = ["time", "last", "avg", "lo", "hi", "min", "max"];

export class Points {
  declare time: Float64Array;
  declare last: Float64Array;
  declare avg: Float64Array;
  declare lo: Float64Array;
  declare hi: Float64Array;
  declare min: Float64Array;
  declare max: Float64Array;
  flags: Uint8Array;
  size = 0;
  private head = 0;

  /** Grows from a few points to limit (a power of two), then overwrites the oldest. */
  constructor(readonly limit: number) {
    const capacity = Math.min(64, limit);
    for (const lane of LANES) this[lane] = new Float64Array(capacity);
    this.flags = new Uint8Array(capacity);
  }

  get full(): boolean {
    return this.size === this.limit;
  }

  /** Place in the arrays of the i-th point, 0 being the oldest. */
  at(i: number): number {
    return (this.head + i) & (this.time.length - 1);
  }

  timeAt(i: number): number {
    return this.time[this.at(i)] ?? Number.NaN;
  }

  /** Index of the first point at or after time; size if there is none. */
  firstFrom(time: number): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.timeAt(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Append; its time must not be before the newest's. */
  push(p: Readonly<Point>): void {
    if (this.full) this.head = this.at(1);
    else {
      if (this.size === this.time.length) this.grow();
      this.size++;
    }
    this.write(this.at(this.size - 1), p);
  }

  /** Merge p, which is newer, into the newest point. */
  mergeIntoNewest(p: Readonly<Point>): void {
    const k = this.at(this.size - 1);
    const { last, min, max, flags } = this;
    this.time[k] = Math.max(this.time[k] ?? p.time, p.time);
    if (!Number.isNaN(p.last)) last[k] = p.last;
    this.avg[k] = p.avg;
    this.lo[k] = p.lo;
    this.hi[k] = p.hi;
    min[k] = lesser(min[k] ?? Number.NaN, p.min);
    max[k] = greater(max[k] ?? Number.NaN, p.max);
    flags[k] = mergeFlags(flags[k] ?? 0, p.flags);
  }

  read(i: number, p: Point): void {
    const k = this.at(i);
    for (const lane of LANES) p[lane] = this[lane][k] ?? Number.NaN;
    p.flags = this.flags[k] ?? 0;
  }

  clear(): void {
    this.size = 0;
    this.head = 0;
  }

  private write(k: number, p: Readonly<Point>): void {
    for (const lane of LANES) this[lane][k] = p[lane];
    this.flags[k] = p.flags;
  }

  private grow(): void {
    // Until the limit is reached the ring has not turned: the oldest point is at 0.
    for (const lane of LANES) {
      const longer = new Float64Array(this.size * 2);
      longer.set(this[lane]);
      this[lane] = longer;
    }
    const flags = new Uint8Array(this.size * 2);
    flags.set(this.flags);
    this.flags = flags;
  }
}

/** The worst state of both; the line is broken before the older. */
function mergeFlags(older: number, newer: number): number {
  return Math.max(older & WORST_MASK, newer & WORST_MASK) | (older & BREAK);
}

function lesser(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a;
}

function greater(a: number, b: number): number {
  return Number.isNaN(a) || b > a ? b : a;
}
