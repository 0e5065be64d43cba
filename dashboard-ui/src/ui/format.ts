/** Numbers and times as people read them. All of a kind have the same width where that is possible. */

const MINUS = "−";
export const UNKNOWN = "–";

/** A value with five significant digits, large ones in k, M, G, T, tiny ones with an exponent. */
export function formatValue(v: number): string {
  if (!Number.isFinite(v)) return UNKNOWN;
  const size = Math.abs(v);
  if (size < 1e6 && Number.isInteger(v)) return signed(String(v));
  if (size < 1e-4 || size >= 1e15) return signed(v.toExponential(3).replace("e+", "e"));
  const [unit, scale] = size < 99_999.5 ? ONE : unitOf(size);
  const scaled = v / scale;
  const decimals = Math.min(6, Math.max(0, 4 - Math.floor(Math.log10(Math.abs(scaled)))));
  const text = scaled.toFixed(decimals);
  // Zeros at the end say nothing, but two places stay, or widths would jump.
  return signed(text.replace(/(\.\d\d)(\d*?)0+$/, "$1$2")) + unit;
}

/** A band: one value where both ends would look the same, as of what has never moved. */
export function formatBand(lo: number | null, hi: number | null): string {
  const [from, to] = [lo ?? Number.NaN, hi ?? Number.NaN];
  const one = Math.abs(to - from) <= 1e-5 * Math.abs(from) || (Number.isNaN(from) && Number.isNaN(to));
  return one ? formatValue(from) : `${formatValue(from)} … ${formatValue(to)}`;
}

/** A label of an axis whose labels are increment apart. */
export function formatTick(v: number, increment: number): string {
  const size = Math.abs(v);
  if (size >= 1e15 || (v !== 0 && size < 1e-4)) return signed(v.toExponential(1).replace("e+", "e"));
  const [unit, scale] = size < 1e4 ? ONE : unitOf(size);
  let decimals = 0;
  while (decimals < 6 && !isWhole((increment / scale) * 10 ** decimals)) decimals++;
  return signed((v / scale).toFixed(decimals)) + unit;
}

type Unit = readonly [name: string, size: number];
const ONE: Unit = ["", 1];
const UNITS: readonly Unit[] = [
  ["T", 1e12],
  ["G", 1e9],
  ["M", 1e6],
  ["k", 1e3],
];

/** The largest unit that is not larger than size once that is rounded to three digits. */
function unitOf(size: number): Unit {
  return UNITS.find(([, unit]) => size >= unit * 0.9995) ?? ONE;
}

function signed(text: string): string {
  return text.replaceAll("-", MINUS);
}

function isWhole(v: number): boolean {
  return Math.abs(v - Math.round(v)) < 1e-6;
}

/** 950, 12.3k, 4.56M */
export function formatCount(n: number): string {
  if (!Number.isFinite(n)) return UNKNOWN;
  if (n < 999.5) return n < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
  const [unit, size] = unitOf(n);
  return (n / size).toPrecision(3) + unit;
}

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

/** The clock to the minute for a time in µs; with the date when that is not today's. */
export function formatMinute(us: number, now = Date.now()): string {
  return formatTime(us, now).replace(/:\d\d$/, "");
}

/** The limit of an alert: of an absence a span, of a rate a change per second. */
export function formatLimit(detector: string, limit: number): string {
  if (!Number.isFinite(limit)) return UNKNOWN;
  if (detector === "absence") return formatAge(limit * 1000);
  return detector === "rate" ? `${formatValue(limit)} per s` : formatValue(limit);
}

/** The clock for a time in µs; with the date when that is not today's. */
export function formatTime(us: number, now = Date.now()): string {
  const date = new Date(us / 1000);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const time = date.toLocaleTimeString("en-GB");
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}
