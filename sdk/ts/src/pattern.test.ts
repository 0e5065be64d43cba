import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { golden } from "./golden.ts";
import { intersect, matches, patternError, within } from "./pattern.ts";

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

const path = fc
  .array(fc.constantFrom("a", "b", "_x"), { minLength: 1, maxLength: 4 })
  .map((s) => s.join("/"));
const pattern = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "_x", "+"), { maxLength: 4 }), fc.boolean())
  .map(([s, hash]) => [...s, ...(hash || s.length === 0 ? ["#"] : [])].join("/"));

describe("intersection", () => {
  it("selects what both select", () => {
    fc.assert(
      fc.property(pattern, pattern, path, (a, b, p) => {
        const both = intersect(a, b);
        return (both !== null && matches(both, p)) === (matches(a, p) && matches(b, p));
      }),
      { numRuns: 5000 },
    );
  });

  it("with several selects what one of them does, each part once", () => {
    fc.assert(
      fc.property(pattern, fc.array(pattern, { maxLength: 4 }), path, (a, others, p) => {
        const parts = within(a, others);
        const selected = parts.some((part) => matches(part, p));
        const redundant = parts.some((x) => parts.some((y) => x !== y && intersect(x, y) === x));
        return selected === (matches(a, p) && others.some((o) => matches(o, p))) && !redundant;
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ["#", ["plant1/#", "plant2/+/t"], ["plant1/#", "plant2/+/t"]],
    ["plant1/+/t", ["#"], ["plant1/+/t"]],
    ["plant1/+/t", ["plant1/press7/#"], ["plant1/press7/t"]],
    ["plant1/#", ["plant1/a/#", "plant1/#", "plant1/b/t"], ["plant1/#"]],
    ["plant3/#", ["plant1/#"], []],
    ["#", ["_weir/#"], []],
  ])("of %s with %j", (asked, reads, want) => {
    expect(within(asked, reads)).toEqual(want);
  });
});
