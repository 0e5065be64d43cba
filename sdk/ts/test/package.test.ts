import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Bytes of an entry, minified and compressed, as a page loads it: without what is loaded only when it is needed. */
async function size(entry: string): Promise<number> {
  const bundle = await rolldown({ input: join(root, "src", entry) });
  const { output } = await bundle.generate({ format: "es", minify: true, comments: false });
  const [start, ...others] = output;
  const loaded = others.flatMap((o) =>
    o.type === "chunk" && start.imports.includes(o.fileName) ? [o.code] : [],
  );
  return gzipSync([start.code, ...loaded].join("\n"), { level: 9 }).length;
}

describe("the core", () => {
  it("is at most 12 KB", async () => {
    const bytes = await size("index.ts");
    console.log(`@weir/live: ${bytes} bytes gzipped`);
    expect(bytes).toBeGreaterThan(2_000);
    expect(bytes).toBeLessThanOrEqual(12 * 1024);
  });
});

describe("the package", () => {
  let home: string;
  let out: string;
  /** What a user writes: the README's examples, too. */
  const sources = ["app.ts", "plant.d.ts"];
  const tsc = (cwd: string, ...args: string[]) =>
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...args], { cwd });
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "weir-live-"));
    const installed = join(home, "node_modules/@weir/live");
    out = join(installed, "dist");
    tsc(root, "-p", "tsconfig.build.json", "--outDir", out);
    copyFileSync(join(root, "package.json"), join(installed, "package.json"));
    for (const name of ["app.ts", "plant.d.ts"])
      copyFileSync(join(root, "test/consumer", name), join(home, name));
    const shown = readFileSync(join(root, "README.md"), "utf8").matchAll(/```ts\n(.*?)```/gs);
    for (const [, text = ""] of shown) {
      const name = `readme${sources.length}.ts`;
      writeFileSync(join(home, name), text);
      sources.push(name);
    }
    writeFileSync(join(home, "package.json"), '{"type":"module"}');
  }, 60_000);
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { types: string; default: string }>;
    dependencies?: object;
  };

  it.each([
    ["Node's", ["--module", "nodenext"]],
    ["bundlers'", ["--module", "esnext", "--moduleResolution", "bundler"]],
  ])(
    "has types that hold where modules are resolved in %s way",
    (_, modules) => {
      const strict = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022"];
      tsc(home, "--ignoreConfig", ...strict, "--lib", "es2023,dom,dom.iterable", ...modules, ...sources);
    },
    60_000,
  );

  it("depends on nothing", () => {
    expect(manifest.dependencies).toBeUndefined();
  });

  it.each(Object.entries(manifest.exports).filter(([, f]) => f.types))(
    "%s can be imported by Node, and has its types",
    (_, files) => {
      const at = (file: string) => join(out, file.replace("./dist/", ""));
      // Without node's own declarations: what a page gets.
      expect(readFileSync(at(files.types), "utf8")).toContain("export");
      const script = `const m = await import(${JSON.stringify(at(files.default))}); console.log(Object.keys(m).length)`;
      const names = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
        encoding: "utf8",
      });
      expect(Number(names)).toBeGreaterThan(0);
    },
  );
});
