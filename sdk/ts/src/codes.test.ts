import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generate } from "../scripts/codes.mjs";
import { closeRule } from "./codes.ts";
import { golden } from "./golden.ts";
import { closeMeaning, errorMeaning } from "./meanings.ts";

describe("codes", () => {
  it("are the server's tables", () => {
    for (const [name, text] of Object.entries(generate())) {
      expect(readFileSync(new URL(name, import.meta.url), "utf8"), "run `npm run gen`").toBe(text);
    }
    const { close, errors } = golden("codes.json");
    for (const { meaning, ...rule } of close) {
      expect(closeRule(rule.code, rule.reason)).toEqual(rule);
      expect(closeMeaning(rule.code, rule.reason)).toBe(meaning);
    }
    for (const e of errors) expect(errorMeaning(e.code)).toBe(e.meaning);
  });

  it("of a later server are handled by their range", () => {
    expect(closeRule(4042, "new").action).toBe("reconnect");
    expect(closeRule(4142, "new").action).toBe("token");
    expect(closeRule(4242, "new").action).toBe("stop");
    expect(closeRule(1006, "").action).toBe("reconnect");
    expect(closeRule(1008, "new").action).toBe("stop");
    expect(closeRule(1008, "token_expired").action).toBe("token");
  });

  it("have a meaning for people, known or not", () => {
    expect(closeMeaning(1006, "")).toBe("the server cannot be reached");
    expect(closeMeaning(4100, "new")).toBe("the token has expired (new)");
    expect(errorMeaning("of_later")).toBe("of_later");
  });
});
