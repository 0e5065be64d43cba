import { defineConfig } from "@playwright/test";

// The specs are in ../e2e; they start the servers they need themselves.
export default defineConfig({
  testDir: "../e2e",
  testIgnore: "clients/**",
  outputDir: "../e2e/test-results",
  tsconfig: "../e2e/tsconfig.json",
  reporter: [["list"]],
  timeout: 180_000,
  expect: { timeout: 30_000 }, // of a machine that has much else to do
  workers: 1,
  forbidOnly: Boolean(process.env.CI),
  use: {
    viewport: { width: 1280, height: 900 },
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
      ],
    },
  },
});
