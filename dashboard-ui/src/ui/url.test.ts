import { describe, expect, it } from "vitest";
import { changed, DEFAULT_VIEW, formatView, parseInstant, parseView, type ViewState } from "./url";

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
      at: 1_760_000_000_000_000,
      alert: "3-5f2a",
      filter: "x y",
      state: "alert",
      sort: { key: "name", descending: false },
    };
    expect(parseView(formatView(view))).toEqual(view);
  });

  it("leads to an instant of a series, as alerts link to it", () => {
    expect(parseInstant("#/series/plant1/press7/temperature?at=1760000001000000")).toEqual({
      series: "plant1/press7/temperature",
      at: 1_760_000_001_000_000,
    });
    expect(parseInstant("#/series/plant1/a%20b/t")).toEqual({ series: "plant1/a b/t", at: 0 });
    expect(parseInstant("#/series/a/b?at=-1")?.at).toBe(0);
    for (const other of ["", "#", "#code=x", "#/series/", "#/series/%zz"])
      expect(parseInstant(other)).toBeNull();
  });

  it("leaves the instant and the alert when it goes to another series, and keeps them otherwise", () => {
    const open = { ...DEFAULT_VIEW, series: "a/b", at: 5, alert: "x" };
    expect(changed(open, { series: "c/d" })).toEqual({ ...open, series: "c/d", at: 0, alert: "" });
    expect(changed(open, { series: "c/d", at: 7 }).at).toBe(7);
    expect(changed(open, { window: 300 })).toEqual({ ...open, window: 300 });
  });

  it("falls back to defaults for what is wrong in it", () => {
    expect(parseView("?window=7&page=-3&state=bad&sort=-what&series=&at=soon")).toEqual(DEFAULT_VIEW);
  });
});
