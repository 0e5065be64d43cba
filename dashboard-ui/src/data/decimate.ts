import { BREAK, emptyPoint, type Points } from "@weir/live";
import type { History } from "./history";

/**
 * Reduce the history between from and to (ms) to at most one point per bucket of width ms, by merging; out
 * is overwritten. Buckets are aligned to absolute time, so a picture that scrolls does not flicker. One
 * point before from is kept, for the line to enter the picture from the edge.
 */
export function decimate(history: History, from: number, to: number, width: number, out: Points): void {
  out.clear();
  const p = emptyPoint();
  let bucket = Number.NaN;
  for (const points of [history.coarse, history.fine]) {
    const first = Math.max(0, points.firstFrom(from) - 1);
    for (let i = first; i < points.size; i++) {
      points.read(i, p);
      if (p.time > to) return;
      const here = Math.floor(p.time / width);
      if (here === bucket && (p.flags & BREAK) === 0) out.mergeIntoNewest(p);
      else out.push(p);
      bucket = here;
    }
  }
}
