import { LiveClient } from "@weir/live";
import { WebSocket } from "ws";

const live = new LiveClient({
  url: process.env.WEIR_URL,
  getToken: () => process.env.WEIR_TOKEN ?? null,
  WebSocket,
});
live.subscribe({ patterns: ["plant1/#"] });
live.alerts.on("transition", async (alert) => {
  console.log(alert.series, alert.phase, alert.reason, alert.summary);
  if (alert.phase !== "firing" || alert.reason !== "raised") return;
  try {
    const version = await live.alerts.acknowledge(alert.id, "seen by the night watch"); // shown at once, undone if refused
    await live.alerts.waitFor(alert.id, version, 5_000);
  } catch (error) {
    console.error(error.code, error.message);
  }
});
live.connect();
