import { BREAK, type Points, State, WORST_MASK } from "@weir/live";
import type { Palette } from "./palette";

/** Where to draw: canvas pixels of a point's time and of a value, the plot's box, pixels per CSS pixel. */
export interface Plane {
  readonly ctx: CanvasRenderingContext2D;
  x(time: number): number;
  y(value: number): number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** Band, envelope, moving average, line and markers, from back to front. */
export function drawPoints(plane: Plane, points: Points, palette: Palette): void {
  const { ctx } = plane;
  ctx.save();
  ctx.beginPath();
  ctx.rect(plane.left, plane.top, plane.width, plane.height);
  ctx.clip();
  fillBetween(plane, points, points.lo, points.hi, palette.band);
  fillBetween(plane, points, points.min, points.max, palette.envelope);
  ctx.lineJoin = "round";
  ctx.setLineDash([5 * plane.ratio, 3 * plane.ratio]);
  strokeLine(plane, points, points.avg, palette.average, 1.25);
  ctx.setLineDash([]);
  strokeLine(plane, points, points.last, palette.line, 1.5);
  ctx.restore();
  // uPlot keeps its own record of the context's styles, so all of them are put back.
  ctx.save();
  drawHead(plane, points, palette);
  drawMarkers(plane, points, palette);
  ctx.restore();
}

/** A dashed line from top to bottom at an instant, if it is in the plot. */
export function drawMark(plane: Plane, time: number, colour: string): void {
  const { ctx, ratio } = plane;
  const x = plane.x(time);
  if (!(x >= plane.left && x <= plane.left + plane.width)) return;
  ctx.save();
  ctx.beginPath();
  ctx.setLineDash([2 * ratio, 3 * ratio]);
  ctx.moveTo(x, plane.top);
  ctx.lineTo(x, plane.top + plane.height);
  ctx.lineWidth = 1.5 * ratio;
  ctx.strokeStyle = colour;
  ctx.stroke();
  ctx.restore();
}

function strokeLine(plane: Plane, points: Points, values: Float64Array, colour: string, width: number): void {
  const { ctx } = plane;
  ctx.beginPath();
  let pen = false;
  for (let i = 0; i < points.size; i++) {
    const k = points.at(i);
    const v = values[k] ?? Number.NaN;
    if (Number.isNaN(v)) {
      pen = false;
      continue;
    }
    if ((points.flags[k] ?? 0) & BREAK) pen = false;
    const x = plane.x(points.time[k] ?? 0);
    const y = plane.y(v);
    if (pen) ctx.lineTo(x, y);
    else ctx.moveTo(x, y);
    pen = true;
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = width * plane.ratio;
  ctx.stroke();
}

/** Fill the area between two columns, one closed piece per unbroken stretch. */
function fillBetween(
  plane: Plane,
  points: Points,
  low: Float64Array,
  high: Float64Array,
  colour: string,
): void {
  const { ctx } = plane;
  ctx.beginPath();
  let start = 0;
  const close = (end: number) => {
    for (let i = end - 1; i >= start; i--) trace(plane, points, low, i, false);
    if (end > start) ctx.closePath();
  };
  for (let i = 0; i < points.size; i++) {
    const k = points.at(i);
    const gap = Number.isNaN(low[k] ?? Number.NaN) || Number.isNaN(high[k] ?? Number.NaN);
    if (gap || (points.flags[k] ?? 0) & BREAK) {
      close(i);
      start = gap ? i + 1 : i;
    }
    if (!gap) trace(plane, points, high, i, i === start);
  }
  close(points.size);
  ctx.fillStyle = colour;
  ctx.fill();
}

function trace(plane: Plane, points: Points, values: Float64Array, i: number, move: boolean): void {
  const k = points.at(i);
  const x = plane.x(points.time[k] ?? 0);
  const y = plane.y(values[k] ?? 0);
  if (move) plane.ctx.moveTo(x, y);
  else plane.ctx.lineTo(x, y);
}

/** A dot where the line ends: now. */
function drawHead(plane: Plane, points: Points, palette: Palette): void {
  if (points.size === 0) return;
  const k = points.at(points.size - 1);
  const { ctx, ratio } = plane;
  const x = plane.x(points.time[k] ?? 0);
  if (x < plane.left) return;
  ctx.beginPath();
  ctx.arc(x, plane.y(points.last[k] ?? 0), 2.5 * ratio, 0, 2 * Math.PI);
  ctx.fillStyle = palette.line;
  ctx.fill();
}

/** One marker per anomalous or alerting stretch, at its farthest value, and a bar below for its duration. */
function drawMarkers(plane: Plane, points: Points, palette: Palette): void {
  let first = -1;
  for (let i = 0; i <= points.size; i++) {
    const worst = i < points.size ? (points.flags[points.at(i)] ?? 0) & WORST_MASK : 0;
    const marked = worst >= State.anomalous;
    if (marked && first < 0) first = i;
    if (!marked && first >= 0) {
      drawStretch(plane, points, palette, first, i);
      first = -1;
    }
  }
}

function drawStretch(plane: Plane, points: Points, palette: Palette, first: number, end: number): void {
  const { ctx, ratio } = plane;
  const peak = findPeak(points, first, end);
  const alert = peak.worst >= State.alert;
  const colour = alert ? palette.alert : palette.anomalous;
  const right = plane.left + plane.width;
  const clampX = (x: number) => Math.min(right, Math.max(plane.left, x));
  const from = clampX(plane.x(points.timeAt(first)));
  const to = clampX(plane.x(points.timeAt(end - 1)));
  ctx.fillStyle = colour;
  ctx.fillRect(from - ratio, plane.top + plane.height - 3 * ratio, to - from + 2 * ratio, 3 * ratio);
  const x = plane.x(peak.time);
  if (x < plane.left || x > right) return;
  const margin = 7 * ratio;
  const y = Math.min(plane.top + plane.height - margin, Math.max(plane.top + margin, plane.y(peak.value)));
  drawGlyph(ctx, x, y, alert ? "triangle" : "diamond", colour, palette.surface, ratio);
}

/** Shapes as in the table's state icons: a triangle for an alert, a diamond for an anomaly. */
function drawGlyph(
  ctx: CanvasRenderingContext2D,
  x: number,
  y: number,
  shape: "triangle" | "diamond",
  colour: string,
  halo: string,
  ratio: number,
): void {
  const r = 5 * ratio;
  ctx.beginPath();
  if (shape === "triangle") {
    ctx.moveTo(x, y - r);
    ctx.lineTo(x + r, y + r * 0.8);
    ctx.lineTo(x - r, y + r * 0.8);
  } else {
    ctx.moveTo(x, y - r);
    ctx.lineTo(x + r * 0.8, y);
    ctx.lineTo(x, y + r);
    ctx.lineTo(x - r * 0.8, y);
  }
  ctx.closePath();
  ctx.lineWidth = 2.5 * ratio;
  ctx.strokeStyle = halo;
  ctx.stroke();
  ctx.fillStyle = colour;
  ctx.fill();
}

interface Peak {
  readonly time: number;
  readonly value: number;
  readonly worst: number;
}

/** The point of the stretch whose extreme is farthest from the moving average, or from the middle without one. */
export function findPeak(points: Points, first: number, end: number): Peak {
  let peak: Peak = { time: points.timeAt(first), value: Number.NaN, worst: State.anomalous };
  let worst: number = State.ok;
  let farthest = -1;
  // The average before the stretch: the spike itself pulls it along.
  const reference = points.avg[points.at(Math.max(0, first - 1))] ?? Number.NaN;
  for (let i = first; i < end; i++) {
    const k = points.at(i);
    const min = points.min[k] ?? Number.NaN;
    const max = points.max[k] ?? Number.NaN;
    const centre = Number.isNaN(reference) ? (min + max) / 2 : reference;
    const value = Math.abs(max - centre) >= Math.abs(min - centre) ? max : min;
    worst = Math.max(worst, (points.flags[k] ?? 0) & WORST_MASK);
    const distance = Math.abs(value - centre);
    // Of values that are about as far, the first: that is where a person looks.
    if (distance <= farthest * 1.02) continue;
    farthest = distance;
    peak = { time: points.time[k] ?? 0, value, worst };
  }
  return { ...peak, worst };
}
