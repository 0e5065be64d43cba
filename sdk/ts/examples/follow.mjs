import { LiveClient } from "@weir/live";
import { WebSocket } from "ws"; // where there is no global one: Node before 22

const live = new LiveClient({
  url: process.env.WEIR_URL,
  getToken: () => process.env.WEIR_TOKEN ?? null,
  WebSocket,
});
const { sink: store } = live.subscribe({ patterns: ["plant1/#"], maxHz: 10 });
store.on("changed", (series) => {
  for (const { name, latest } of series)
    console.log(name, latest.last, `±${latest.hi - latest.avg}`, `n=${latest.n}`);
});
live.on("state", (state) => console.error(state.name));
live.connect();
