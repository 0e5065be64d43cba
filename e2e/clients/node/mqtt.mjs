// Publishes values with QoS 1, then answers commands until it is stopped: node mqtt.mjs DEVICE 21.5 22
import mqtt from "mqtt";

const [device, ...values] = process.argv.slice(2);
const client = await mqtt.connectAsync(`${process.env.SERVER_URL}/mqtt`, {
  protocolVersion: process.env.MQTT_VERSION === "5" ? 5 : 4, // 4 is MQTT 3.1.1
  username: "device", // may be anything
  password: process.env.DEVICE_KEY,
});
console.log("connected");

client.on("message", (topic, payload) => {
  const command = JSON.parse(String(payload));
  const result = { ok: true, result: { did: command.name } };
  client.publish(`${topic}/${command.id}/result`, JSON.stringify(result), { qos: 1 });
});
await client.subscribeAsync(`${device}/_commands`, { qos: 1 });

for (const value of values) {
  try {
    await client.publishAsync(`${device}/temperature`, value, { qos: 1 }); // done once Kafka has acknowledged
    console.log("acknowledged:", value);
  } catch (refused) {
    console.log("refused:", value, refused.code, refused.message);
  }
}
