import { describe, expect, it } from "vitest";
import { formatAge, formatBand, formatCount, formatTick, formatTime, formatValue } from "./format";

describe("formats", () => {
  it.each([
    [0, "0"],
    [42, "42"],
    [-3, "−3"],
    [21.345678, "21.346"],
    [0.1, "0.10"],
    [1447.4, "1447.4"],
    [123_456.7, "123.46k"],
    [999_999, "999999"],
    [24_030_000_000, "24.03G"],
    [0.00012, "0.00012"],
    [2.5e17, "2.500e17"],
    [-1e-9, "−1.000e−9"],
    [Number.NaN, "–"],
  ])("value %d: %s", (v, text) => expect(formatValue(v)).toBe(text));

  it.each([
    [0, 0, "0"],
    [20, 20.0000001, "20"],
    [-0.5, 12.25, "−0.50 … 12.25"],
    [null, 5, "– … 5"],
    [null, null, "–"],
  ])("band from %d to %d: %s", (lo, hi, text) => expect(formatBand(lo, hi)).toBe(text));

  it.each([
    [0, "0"],
    [2.35, "2.4"],
    [999, "999"],
    [999.7, "1.00k"],
    [12_345, "12.3k"],
    [999_999, "1.00M"],
    [4.56e6, "4.56M"],
  ])("count %d: %s", (n, text) => expect(formatCount(n)).toBe(text));

  it.each([
    [85.4, "85 ms"],
    [3210, "3.2 s"],
    [42_900, "42 s"],
    [240_000, "4 min"],
    [7.3e6, "2 h"],
    [3e8, "3 d"],
    [Number.NaN, "–"],
  ])("age %d: %s", (ms, text) => expect(formatAge(ms)).toBe(text));

  it("ticks have as many decimals as their distance needs", () => {
    expect([
      formatTick(0.25, 0.25),
      formatTick(20, 10),
      formatTick(2.402e10, 2e7),
      formatTick(-1.5, 0.5),
    ]).toEqual(["0.25", "20", "24.02G", "−1.5"]);
  });

  it("times of another day carry their date", () => {
    const noon = new Date(2026, 10, 24, 12, 0, 5).getTime();
    expect(formatTime(noon * 1000, noon)).toBe("12:00:05");
    expect(formatTime((noon - 86_400_000) * 1000, noon)).toBe("2026-11-23 12:00:05");
  });
});
