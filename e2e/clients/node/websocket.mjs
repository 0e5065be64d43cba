// Sends values as readings, one frame each: node websocket.mjs 21.5 22
import { once } from "node:events";
import WebSocket from "ws";

const ws = new WebSocket(`${process.env.SERVER_URL}/v1/ingest`, {
  headers: { Authorization: `Bearer ${process.env.DEVICE_KEY}` },
});
await once(ws, "open");
const session = String(Date.now()); // a new one for each start: frames of an old one would be duplicates
for (const [i, value] of process.argv.slice(2).entries()) {
  const reading = { metric: "temperature", ts: Date.now(), value: Number(value) };
  ws.send(JSON.stringify({ session, seq: i + 1, readings: [reading] }));
  const [receipt] = await once(ws, "message"); // sent once Kafka has acknowledged
  console.log(String(receipt));
}
ws.close();
