/** Numbers and times as people read them. All of a kind have the same width where that is possible. */

const MINUS = "−";
export const UNKNOWN = "–";

/** A value with five significant digits; very large and very small ones with an exponent. */
export function formatValue(v: number): string {
  if (!Number.isFinite(v)) return UNKNOWN;
  const size = Math.abs(v);
  if (size < 1e7 && Number.isInteger(v)) return String(v).replace("-", MINUS);
  if (size >= 1e7 || size < 1e-4) return v.toExponential(3).replaceAll("-", MINUS).replace("e+", "e");
  const decimals = Math.min(6, Math.max(0, 4 - Math.floor(Math.log10(size))));
  const text = v.toFixed(decimals);
  const short = text.includes(".") ? text.replace(/(\.\d\d)(\d*?)0+$/, "$1$2") : text;
  return short.replace("-", MINUS);
}

/** A label of an axis whose labels are increment apart. */
export function formatTick(v: number, increment: number): string {
  const size = Math.abs(v);
  if (size >= 1e6 || (v !== 0 && size < 1e-4))
    return v.toExponential(1).replaceAll("-", MINUS).replace("e+", "e");
  let decimals = 0;
  while (decimals < 6 && !isWhole(increment * 10 ** decimals)) decimals++;
  return v.toFixed(decimals).replace("-", MINUS);
}

function isWhole(v: number): boolean {
  return Math.abs(v - Math.round(v)) < 1e-6;
}

/** 950, 12.3k, 4.56M */
export function formatCount(n: number): string {
  if (!Number.isFinite(n)) return UNKNOWN;
  if (n < 999.5) return n < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
  for (const [unit, size] of UNITS) {
    if (n >= size * 0.9995) return `${(n / size).toPrecision(3)}${unit}`;
  }
  return String(Math.round(n));
}

const UNITS: readonly (readonly [unit: string, size: number])[] = [
  ["G", 1e9],
  ["M", 1e6],
  ["k", 1e3],
];

/** A span of time in ms: 85 ms, 3.2 s, 4 min, 2 h, 3 d */
export function formatAge(ms: number): string {
  if (!Number.isFinite(ms)) return UNKNOWN;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** The clock for a time in µs; with the date when that is not today's. */
export function formatTime(us: number, now = Date.now()): string {
  const date = new Date(us / 1000);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const time = date.toLocaleTimeString("en-GB");
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}
