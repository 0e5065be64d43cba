import { describe, expect, it } from "vitest";
import { DEFAULT_VIEW, formatView, parseView, type ViewState } from "./url";

describe("address", () => {
  it("of the first screen is bare", () => {
    expect(formatView(DEFAULT_VIEW)).toBe("");
    expect(parseView("")).toEqual(DEFAULT_VIEW);
  });

  it("holds the whole view", () => {
    const view: ViewState = {
      pattern: "plant1/+/#",
      window: 900,
      page: 2,
      series: "plant1/a b/t",
      filter: "x y",
      state: "alert",
      sort: { key: "name", descending: false },
    };
    expect(parseView(formatView(view))).toEqual(view);
  });

  it("falls back to defaults for what is wrong in it", () => {
    expect(parseView("?window=7&page=-3&state=bad&sort=-what")).toEqual(DEFAULT_VIEW);
  });
});
