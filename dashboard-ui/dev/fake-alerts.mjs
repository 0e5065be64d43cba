// /v1/alerts and /v1/silences of the stand-in server: what people do to its alerts. The real one is in ../../alerts.

/** Ids of all silences, and what they are. */
const silences = new Map();

/** Answers a request under these paths; false for others. tell gets each transition. */
export async function handleAlerts(req, res, path, { series, user, now, failing, tell }) {
  if (req.method === "POST" && path === "/v1/silences") {
    const body = await read(req);
    if (!allowed(res, user, failing)) return true;
    const s = series.find((one) => one.name === body.series);
    if (s?.alert) tell(s.act(now, "silence", body, user.subject));
    const times = { from: now, until: now + 3600e6, created: now };
    const silence = { ...body, ...times, by: user.subject, state: "active", everywhere: true };
    silences.set(silence.id, silence);
    reply(res, 201, silence);
    return true;
  }
  if (path === "/v1/silences") {
    reply(res, 200, { silences: [...silences.values()] });
    return true;
  }
  if (req.method === "DELETE" && path.startsWith("/v1/silences/")) {
    if (!allowed(res, user, failing)) return true;
    const silence = silences.get(decodeURIComponent(path.slice("/v1/silences/".length)));
    if (silence) reply(res, 200, Object.assign(silence, { until: now, state: "over" }));
    else refuse(res, 404, "silence_unknown");
    return true;
  }
  const found = /^\/v1\/alerts\/([^/]+)(?:\/(ack|unack|comment|assign))?$/.exec(path);
  if (!found) return false;
  const [, id, action] = found;
  const s = series.find((one) => one.alert?.id === decodeURIComponent(id));
  if (!action) {
    if (s) reply(res, 200, s.alert);
    else refuse(res, 404, "alert_unknown");
    return true;
  }
  const body = await read(req);
  if (!allowed(res, user, failing)) return true;
  if (!s) refuse(res, 404, "alert_unknown");
  else {
    const alert = s.act(now, action, body, user.subject);
    tell(alert);
    reply(res, 200, alert);
  }
  return true;
}

function allowed(res, user, failing) {
  if (failing) refuse(res, 503, "not_stored");
  else if (!user.roles.includes("operator") && !user.roles.includes("admin")) refuse(res, 403, "forbidden");
  else return true;
  return false;
}

async function read(req) {
  let text = "";
  for await (const chunk of req) text += chunk;
  return JSON.parse(text || "{}");
}

function refuse(res, status, code) {
  reply(res, status, { error: { code, message: code } });
}

function reply(res, status, body) {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(body));
}
