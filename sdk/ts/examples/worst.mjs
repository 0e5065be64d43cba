import { LiveClient } from "@weir/live";
import { WebSocket } from "ws";

const live = new LiveClient({
  url: process.env.WEIR_URL,
  getToken: () => process.env.WEIR_TOKEN ?? null,
  WebSocket,
});
const worst = live.subscribe({
  patterns: ["plant1/#"],
  filter: 'state == "alert" || max > 90',
  order: "worst",
  limit: 10,
});
worst.sink.on("changed", () => console.log(worst.sink.list("worst").map((s) => s.name)));
worst.on("error", ({ code, message }) => console.error(code, message));
worst.on("resync", ({ reason }) =>
  console.error("what happened meanwhile is known by its end only:", reason),
);
live.connect();
