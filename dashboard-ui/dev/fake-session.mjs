// Sign-in of the stand-in server (--guard): who has which cookie, and what /v1/session answers. The real one is
// in ../../auth.

import { randomUUID } from "node:crypto";

const USERS = {
  weir_viewer_secret: { subject: "viewer", roles: ["viewer"], read: ["plant1/#"], tenant: "plant1" },
  weir_operator_secret: { subject: "alice.weaver@example.com", roles: ["operator"], read: ["#"] },
  weir_nobody_secret: { subject: "nobody", roles: ["viewer"], read: [] },
};

export class Sessions {
  codes = new Set(["once", "again"]);
  open = new Map();

  constructor({ service = false } = {}) {
    this.service = service;
  }

  /** Who a request is from, or undefined. */
  of(req) {
    const id = /(?:^|; )weir_session=([^;]*)/.exec(req.headers.cookie ?? "")?.[1];
    return this.open.get(id);
  }

  /** Answers requests under /v1/session; false for others. */
  async handle(req, res, path) {
    if (path === "/v1/session/oidc") {
      if (this.service) res.writeHead(302, { location: "http://sign-in.invalid/" }).end();
      else refuse(res, 404, "not_found");
      return true;
    }
    if (path !== "/v1/session") return false;
    const user = this.of(req);
    if (req.method === "POST") await this.begin(req, res);
    else if (!user) refuse(res, 401, "unauthenticated");
    else if (req.method === "DELETE") {
      for (const [id, u] of this.open) if (u === user) this.open.delete(id);
      res.writeHead(204, { "set-cookie": "weir_session=; Path=/; Max-Age=0" }).end();
    } else reply(res, 200, { ...user, method: "cookie" });
    return true;
  }

  async begin(req, res) {
    let text = "";
    for await (const chunk of req) text += chunk;
    const { token, code } = JSON.parse(text);
    let user = USERS[token];
    if (code && this.codes.delete(code)) user = { subject: "operator", roles: ["admin"], read: ["#"] };
    if (!user) return refuse(res, 401, "token_invalid");
    const id = randomUUID();
    this.open.set(id, { ...user });
    const cookie = `weir_session=${id}; Path=/; HttpOnly; SameSite=Strict`;
    reply(res, 200, { ...user, method: "cookie" }, { "set-cookie": cookie });
  }
}

function reply(res, status, body, headers = {}) {
  res.writeHead(status, { "content-type": "application/json", ...headers });
  res.end(JSON.stringify(body));
}

function refuse(res, status, code) {
  reply(res, status, { error: { code, message: `refused with ${code}` } });
}
