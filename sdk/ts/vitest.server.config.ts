import { defineConfig } from "vitest/config";
import { alias } from "./vitest.config.ts";

// Against the real server (WEIR_BIN, default ../../bin/weir).
export default defineConfig({
  resolve: { alias },
  test: {
    environment: "node",
    include: ["test/server/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
