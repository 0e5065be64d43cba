import { defineConfig } from "@playwright/test";
import dashboard from "./playwright.config";

// Stock clients as devices (`make test-clients`): they need what is installed for them alone.
export default defineConfig(dashboard, { testDir: "../e2e/clients", testIgnore: [] });
