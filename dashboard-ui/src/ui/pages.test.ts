import { describe, expect, it } from "vitest";
import { pagesOf, turned } from "./pages";

describe("pages", () => {
  it("are at least one", () => {
    expect([0, 12, 13].map((n) => pagesOf(n, 12))).toEqual([1, 1, 2]);
  });

  it("are turned within what there is, also from a page beyond it", () => {
    expect([turned(0, 1, 3), turned(2, 1, 3), turned(0, -1, 3), turned(57, -1, 3), turned(57, 1, 3)]).toEqual(
      [1, 2, 0, 1, 2],
    );
  });
});
