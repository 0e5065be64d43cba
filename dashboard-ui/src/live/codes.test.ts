import { describe, expect, it } from "vitest";
import { patternError } from "../data/pattern";
import { golden } from "../golden";
import { CLOSE_RULES, closeRule } from "./codes";

describe("close codes", () => {
  it("are the server's table", () => {
    expect(CLOSE_RULES).toEqual(golden("codes.json").close);
  });

  it("of a later server are handled by their range", () => {
    expect(closeRule(4042, "new").action).toBe("reconnect");
    expect(closeRule(4142, "new").action).toBe("token");
    expect(closeRule(4242, "new").action).toBe("stop");
    expect(closeRule(1006, "").action).toBe("reconnect");
    expect(closeRule(1008, "new").action).toBe("stop");
  });
});

describe("error codes", () => {
  it("given for patterns here exist in the server's table", () => {
    const known = golden("codes.json").errors.map((e) => e.code);
    const used = ["", "a//b", "a+", "#/a", `${"a/".repeat(16)}a`, "x".repeat(256)].map(patternError);
    expect(used).not.toContain(null);
    for (const code of used) expect(known).toContain(code);
  });
});
