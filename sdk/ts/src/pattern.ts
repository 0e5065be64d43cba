/** Series patterns by MQTT's rules, the counterpart of telemetry/pattern.go. */

export { matches } from "./matches.ts";

const MAX_BYTES = 255;
const MAX_SEGMENTS = 16;

/** Code of the error in a pattern (of the protocol's table), or null if it is well-formed. */
export function patternError(text: string): string | null {
  if (text === "") return "path_empty";
  if (new TextEncoder().encode(text).length > MAX_BYTES) return "path_too_long";
  if ([...text].some(isControl)) return "path_character";
  const segments = text.split("/");
  if (segments.length > MAX_SEGMENTS) return "path_too_deep";
  for (const [i, s] of segments.entries()) {
    if (s === "") return "path_segment_empty";
    if (s === "+") continue;
    if (s === "#") {
      if (i !== segments.length - 1) return "pattern_malformed";
    } else if (/[+#]/.test(s)) return "pattern_malformed";
  }
  return null;
}

function isControl(c: string): boolean {
  return c < " " || c === "\x7f";
}

/** The pattern of what both select, or null if that is nothing. */
export function intersect(a: string, b: string): string | null {
  const left = a.split("/");
  const right = b.split("/");
  const both: string[] = [];
  for (let i = 0; ; i++) {
    const l = left[i];
    const r = right[i];
    if (l === undefined && r === undefined) break;
    // A last # stands for no segment, too.
    if (l === "#" || r === "#") {
      both.push(...(l === "#" ? right : left).slice(i));
      break;
    }
    if (l === undefined || r === undefined) return null;
    if (l !== r && l !== "+" && r !== "+") return null;
    both.push(l === "+" ? r : l);
  }
  // A wildcard in front does not stand for a reserved segment.
  const reserved = both[0]?.startsWith("_");
  if (reserved && [left[0], right[0]].some((s) => s === "+" || s === "#")) return null;
  return both.join("/");
}

/** Patterns of what pattern selects of that which one of the others does; none is part of another. */
export function within(pattern: string, others: readonly string[]): string[] {
  const out: string[] = [];
  for (const other of others) {
    const part = intersect(pattern, other);
    if (part === null || out.some((o) => intersect(o, part) === part)) continue;
    out.splice(0, out.length, ...out.filter((o) => intersect(o, part) !== o), part);
  }
  return out;
}
