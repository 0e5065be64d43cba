import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// The server of `npm run dev` passes the live protocol on to a Weir (or `npm run fake`) on this address.
const backend = process.env.WEIR_URL ?? "http://127.0.0.1:7420";

// The client is built from its source beside, so that a change of both needs no release.
const sdk = fileURLToPath(new URL("../sdk/ts/src/", import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@weir\/live$/, replacement: `${sdk}index.ts` },
      { find: /^@weir\/live\/(.+)$/, replacement: `${sdk}$1.ts` },
    ],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
  },
  server: {
    host: "127.0.0.1",
    fs: { allow: [".", sdk] },
    proxy: { "/v1": { target: backend, ws: true, changeOrigin: true, rewriteWsOrigin: true } },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"], testTimeout: 60_000 },
});
