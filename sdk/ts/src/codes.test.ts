import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generate } from "../scripts/codes.mjs";
import { CLOSE_RULES, closeRule } from "./codes.ts";
import { golden } from "./golden.ts";

describe("codes", () => {
  it("are the server's tables", () => {
    const written = readFileSync(new URL("codes.gen.ts", import.meta.url), "utf8");
    expect(written, "run `npm run gen`").toBe(generate());
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
