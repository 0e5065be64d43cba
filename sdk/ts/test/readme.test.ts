import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");

describe("the README", () => {
  it.each(readdirSync(new URL("examples", root)))("shows examples/%s as it is", (name) => {
    expect(read("README.md")).toContain(`\`\`\`js\n${read(`examples/${name}`)}\`\`\``);
  });
});
