// Sends values as readings and gives back the receipts. The page is the dashboard's, or one whose origin
// `allowed_origins` names. A key goes into a subprotocol, as a page cannot set headers. Who is signed in needs none.
export async function send(device, values, key) {
  const url = `${location.origin.replace(/^http/, "ws")}/v1/ingest?device=${device}`;
  const ws = new WebSocket(url, key ? ["weir.v1.json", `weir.token.${key}`] : ["weir.v1.json"]);
  const next = (type) =>
    new Promise((resolve, reject) => {
      ws.addEventListener(type, resolve, { once: true });
      ws.addEventListener("close", (e) => reject(new Error(`closed: ${e.code} ${e.reason}`)), { once: true });
    });
  await next("open");
  const receipts = [];
  for (const value of values) {
    ws.send(JSON.stringify({ metric: "temperature", ts: Date.now(), value }));
    receipts.push(JSON.parse((await next("message")).data));
  }
  ws.close();
  return receipts;
}
