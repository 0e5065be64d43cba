import { Points } from "@weir/live";
import uPlot from "uplot";
import { decimate } from "../data/decimate";
import type { Series } from "../data/series";
import { formatTick, formatTime } from "../ui/format";
import { drawMark, drawPoints, type Plane } from "./draw";
import type { Drawable, FrameLoop } from "./loop";
import type { Palette } from "./palette";
import { extent, type Range, settle } from "./range";

export interface ChartOptions {
  readonly series: Series;
  readonly loop: FrameLoop;
  readonly palette: Palette;
  /** ms shown. */
  readonly window: number;
  /** The time, ms, at the right edge. */
  readonly now: () => number;
  /** A small chart counts its seconds back from now; a large one shows the clock and a cursor. */
  readonly kind: "small" | "large";
  /** Called with the point under the cursor (index into points), or null. */
  readonly onCursor?: (points: Points, index: number | null) => void;
}

/** One bucket is this wide, CSS pixels. */
const BUCKET_PIXELS = 1;
/** Enough for a plot of 4,096 pixels. */
const MAX_POINTS = 4096;

/**
 * A live chart on its own canvas: an island that no framework renders. It draws by itself while it is on
 * screen, when rows have arrived or time has moved on by a pixel, until destroy.
 */
export class Chart implements Drawable {
  private readonly plot: uPlot;
  private readonly points = new Points(MAX_POINTS);
  private readonly axis = new Float64Array(MAX_POINTS);
  private readonly observers: { disconnect(): void }[] = [];
  private palette: Palette;
  private window: number;
  private range: Range | null = null;
  /** An instant, ms, that is pointed out; NaN: none. */
  private mark = Number.NaN;
  private drawnRevision = -1;
  private drawnStep = Number.NaN;
  private visible = false;

  constructor(
    private readonly host: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    this.palette = options.palette;
    this.window = options.window;
    this.plot = new uPlot(this.plotOptions(), [[], []], host);
    const seen = new IntersectionObserver((entries) => {
      this.visible = entries.some((e) => e.isIntersecting);
      this.invalidate();
    });
    seen.observe(host);
    const sized = new ResizeObserver(() => {
      this.plot.setSize({ width: host.clientWidth, height: host.clientHeight });
      this.invalidate();
    });
    sized.observe(host);
    this.observers.push(seen, sized);
    options.loop.add(this);
  }

  setWindow(window: number): void {
    this.window = window;
    this.range = null;
    this.invalidate();
  }

  setMark(mark: number): void {
    this.mark = mark;
    this.invalidate();
  }

  setPalette(palette: Palette): void {
    this.palette = palette;
    this.invalidate();
  }

  destroy(): void {
    this.options.loop.remove(this);
    for (const observer of this.observers) observer.disconnect();
    this.plot.destroy();
  }

  frame(): void {
    const width = this.plot.bbox.width / uPlot.pxRatio;
    if (!this.visible || !(width > 0)) return;
    const bucket = (this.window / width) * BUCKET_PIXELS;
    // The right edge moves by whole buckets, so that every point keeps its pixel while the picture scrolls.
    const stepNow = Math.ceil(this.options.now() / bucket);
    const { series } = this.options;
    if (stepNow === this.drawnStep && series.revision === this.drawnRevision) return;
    this.drawnStep = stepNow;
    this.drawnRevision = series.revision;
    const to = stepNow * bucket;
    decimate(series.history, to - this.window, to, bucket, this.points);
    this.show(to);
  }

  private show(to: number): void {
    const { points, axis, plot } = this;
    for (let i = 0; i < points.size; i++) axis[i] = points.timeAt(i);
    const want = extent(points);
    if (want) this.range = settle(this.range, want);
    const range = this.range ?? { min: 0, max: 1 };
    const x = axis.subarray(0, points.size);
    plot.batch(() => {
      plot.setData([x, x], false);
      plot.setScale("x", { min: to - this.window, max: to });
      plot.setScale("y", range);
    });
  }

  private invalidate(): void {
    this.drawnRevision = -1;
  }

  private draw(plot: uPlot): void {
    const { left, top, width, height } = plot.bbox;
    const { min: from = 0, max: to = 1 } = plot.scales.x ?? {};
    const { min: low = 0, max: high = 1 } = plot.scales.y ?? {};
    const plane: Plane = {
      ctx: plot.ctx,
      x: (time) => left + ((time - from) / (to - from)) * width,
      y: (value) => top + ((high - value) / (high - low)) * height,
      left,
      top,
      width,
      height,
      ratio: uPlot.pxRatio,
    };
    drawPoints(plane, this.points, this.palette);
    drawMark(plane, this.mark, this.palette.muted);
  }

  private plotOptions(): uPlot.Options {
    const large = this.options.kind === "large";
    return {
      width: this.host.clientWidth,
      height: this.host.clientHeight,
      ms: 1,
      padding: [8, large ? 28 : 10, 0, 0],
      legend: { show: false },
      cursor: large
        ? { y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } }
        : { show: false },
      scales: { x: { time: large, auto: false }, y: { auto: false } },
      // The second series exists for the cursor's sake; the drawing is draw's.
      series: [{}, { paths: () => null, points: { show: false } }],
      axes: [this.timeAxis(large), this.valueAxis()],
      hooks: {
        draw: [(plot) => this.draw(plot)],
        setCursor: [(plot) => this.options.onCursor?.(this.points, plot.cursor.idx ?? null)],
      },
    };
  }

  private timeAxis(large: boolean): uPlot.Axis {
    const axis: uPlot.Axis = {
      ...this.axisColours(),
      size: 24,
      gap: 4,
      space: 60,
    };
    if (large) {
      axis.splits = (plot, _, min, max) => clockSplits(min, max, plot.bbox.width / uPlot.pxRatio);
      axis.values = (_, splits) => splits.map((ms) => formatTime(ms * 1000));
      return axis;
    }
    // Fixed places, as the seconds before now do not move.
    axis.splits = (_, __, min, max) => {
      const parts = partsOf(this.window);
      return Array.from({ length: parts + 1 }, (_unused, i) => min + ((max - min) * i) / parts);
    };
    axis.values = (_, splits) => splits.map((_split, i) => relativeLabel(this.window, i));
    axis.align = 2;
    return axis;
  }

  private valueAxis(): uPlot.Axis {
    return {
      ...this.axisColours(),
      size: 52,
      gap: 6,
      space: 30,
      values: (_, splits, __, ___, increment) => splits.map((v) => formatTick(v, increment)),
    };
  }

  private axisColours(): uPlot.Axis {
    return {
      stroke: () => this.palette.muted,
      font: this.palette.font,
      grid: { stroke: () => this.palette.grid, width: 1 },
      ticks: { show: false },
    };
  }
}

/** Distances, s, at which a clock is read. */
const CLOCK_STEPS = [5, 10, 15, 30, 60, 120, 300];
const CLOCK_SPACE = 90;

/** Times (ms) at whole seconds or minutes, at least CLOCK_SPACE pixels apart. */
function clockSplits(min: number, max: number, width: number): number[] {
  const least = ((max - min) / width) * CLOCK_SPACE;
  const step = 1000 * (CLOCK_STEPS.find((s) => s * 1000 >= least) ?? 300);
  const first = Math.ceil(min / step) * step;
  return Array.from({ length: Math.floor((max - first) / step) + 1 }, (_, i) => first + i * step);
}

/** Parts into which a window falls: of 15 s, 1 min or 5 min. */
function partsOf(window: number): number {
  if (window <= 60_000) return 4;
  return window <= 300_000 ? 5 : 3;
}

/** "now" at the right, "−30 s" or "−5 min" before it, nothing at the left, where the value axis is. */
function relativeLabel(window: number, i: number): string {
  const parts = partsOf(window);
  if (i === parts) return "now";
  if (i === 0) return "";
  const seconds = (window / 1000) * (1 - i / parts);
  return seconds < 60 ? `−${seconds} s` : `−${seconds / 60} min`;
}
