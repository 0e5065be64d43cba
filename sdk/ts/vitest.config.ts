import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export const alias = {
  "@weir/live/worker-client": fileURLToPath(new URL("src/worker-client.ts", import.meta.url)),
  "@weir/live": fileURLToPath(new URL("src/index.ts", import.meta.url)),
};

export default defineConfig({
  resolve: { alias },
  test: { environment: "node", include: ["src/**/*.test.ts", "test/*.test.ts"], testTimeout: 120_000 },
});
