import { describe, expect, it } from "vitest";
import { golden } from "../golden";
import { matches, patternError } from "./pattern";

describe("patterns", () => {
  it("match what Go's match", () => {
    const cases = golden("patterns.json").matches;
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) expect(matches(c.pattern, c.path), `${c.pattern} on ${c.path}`).toBe(c.matches);
  });

  it("are refused where Go refuses them, with the same code", () => {
    const cases = golden("patterns.json").refused;
    expect(cases.length).toBeGreaterThan(0);
    for (const c of cases) expect(patternError(c.pattern), c.pattern).toBe(c.code);
  });

  it.each([
    ["#", "a/b", true],
    ["#", "_weir/x", false],
    ["+/x", "_weir/x", false],
    ["_weir/#", "_weir/x", true],
    ["a/#", "a", true],
    ["a/#", "ab", false],
    ["a/+/c", "a/b/c", true],
    ["a/+", "a/b/c", false],
    ["a/b", "a/b/c", false],
    ["a/b/c", "a/b", false],
  ])("%s on %s: %s", (pattern, path, want) => {
    expect(matches(pattern, path)).toBe(want);
  });

  it.each([
    ["#", null],
    ["a/+/b/#", null],
    ["", "path_empty"],
    ["a//b", "path_segment_empty"],
    ["a#", "pattern_malformed"],
    ["#/a", "pattern_malformed"],
    ["a/b+", "pattern_malformed"],
    [`${"a/".repeat(16)}a`, "path_too_deep"],
    ["é".repeat(128), "path_too_long"],
  ])("%s is checked: %s", (pattern, code) => {
    expect(patternError(pattern)).toBe(code);
  });
});
