import { BREAK, emptyPoint, type Point, Points } from "@weir/live";

/** Longest window a chart can show, ms. */
export const MAX_WINDOW = 15 * 60_000;

/** Points one series may hold: the newest as they came, older ones merged into even buckets of MAX_WINDOW. */
export interface Budget {
  readonly fine: number;
  readonly coarse: number;
}

/** The more series, the coarser their past: at most about 60 MB (256 series) to 150 MB (10,000). */
export function budgetFor(series: number): Budget {
  if (series <= 256) return { fine: 2048, coarse: 2048 };
  if (series <= 2048) return { fine: 256, coarse: 512 };
  return { fine: 64, coarse: 256 };
}

/** The last MAX_WINDOW of one series, in bounded memory. */
export class History {
  readonly fine: Points;
  readonly coarse: Points;
  private readonly bucket: number;
  private readonly scratch = emptyPoint();

  constructor(readonly budget: Budget) {
    this.fine = new Points(budget.fine);
    this.coarse = new Points(budget.coarse);
    this.bucket = MAX_WINDOW / budget.coarse;
  }

  get size(): number {
    return this.coarse.size + this.fine.size;
  }

  get newestTime(): number {
    return this.fine.size > 0 ? this.fine.timeAt(this.fine.size - 1) : Number.NEGATIVE_INFINITY;
  }

  /** Add a point. One that is not newer than the newest is merged into it: charts need growing times. */
  add(p: Readonly<Point>): void {
    if (p.time <= this.newestTime) {
      this.fine.mergeIntoNewest(p);
      return;
    }
    if (this.fine.full) {
      this.fine.read(0, this.scratch);
      this.age(this.scratch);
    }
    this.fine.push(p);
  }

  /** The same past within another budget. */
  resized(budget: Budget): History {
    const copy = new History(budget);
    const p = emptyPoint();
    for (const points of [this.coarse, this.fine]) {
      for (let i = 0; i < points.size; i++) {
        points.read(i, p);
        copy.add(p);
      }
    }
    return copy;
  }

  clear(): void {
    this.fine.clear();
    this.coarse.clear();
  }

  private age(p: Readonly<Point>): void {
    const { coarse, bucket } = this;
    const newest = coarse.size > 0 ? coarse.timeAt(coarse.size - 1) : Number.NEGATIVE_INFINITY;
    const same = Math.floor(newest / bucket) === Math.floor(p.time / bucket);
    if (same && (p.flags & BREAK) === 0) coarse.mergeIntoNewest(p);
    else coarse.push(p);
  }
}
