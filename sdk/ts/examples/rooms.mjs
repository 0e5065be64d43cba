import { LiveClient } from "@weir/live";
import { WebSocket } from "ws";

const live = new LiveClient({
  url: process.env.WEIR_URL,
  getToken: () => process.env.WEIR_TOKEN ?? null,
  WebSocket,
});
const room = live.room("plant1/ops");
room.on("message", ({ from, type, payload }) => console.log(from.user, type, payload));
room.on("presence", ({ user, event }) => console.log(user, event));
room.on("missed", ({ after }) => console.error("messages may be missing after", after));
live.on("message", (message) => {
  console.log("to", message.user ?? message.session ?? "all", message.payload);
  live.acknowledge(message); // to a user: it need not come again
});
live.connect();
const { members } = await room.join(50); // and again after each reconnect, with all that was missed
console.log("here:", members.map((m) => m.user).join(", "));
try {
  const sent = room.send("chat", { text: "valve 7 is open" }); // in room.timeline() at once, undone if refused
  await room.waitFor(await sent.done, 5_000); // read what one wrote
  console.log("said:", room.timeline().at(-1).payload.text);
} catch (error) {
  console.error(error.code, error.message);
}
