#!/usr/bin/env python3
"""Follows series live, proves that it misses nothing, and goes on where it was after the connection is lost.

pip install websockets; WEIR_URL=ws://127.0.0.1:7420 WEIR_TOKEN=weir_… python3 live.py 'plant1/#'
prints a line of JSON per row. --until N ends it after N readings and sums up, --cut N drops the connection every N frames.
"""

import argparse, asyncio, collections, json, os, random, time

import websockets


class Gap(Exception):
    """A row does not join up: something is missing."""


class Client:
    def __init__(self, args):
        self.args, self.cursor = args, None
        self.tried = None   # the cursor with which it came back after a gap
        self.greeted = False  # on this connection, with what was missed or the state
        self.version = {}   # of the row told last, by series; outlives connections
        self.readings = collections.Counter()  # in rows, by series
        self.names, self.columns = {}, []      # of the view in force: series by the index that rows have
        self.alerts = {}    # newest version by id
        self.resumed = self.anew = self.gaps = self.frames = 0

    def rows(self, rows, state):
        rows = [dict(zip(self.columns, row)) for row in rows]
        for r in rows:  # all before the first is taken, so that what is known is what the cursor says
            known = self.version.get(self.names.get(r["i"]), -1)  # the first row of a series begins at -1
            if r["i"] not in self.names or not state and r["since"] != known and r["version"] > known:
                raise Gap
        for r in rows:
            name = self.names[r["i"]]
            if not state:
                if r["version"] <= self.version.get(name, -1):
                    continue  # a replay
                self.readings[name] += r["n"]
                print(json.dumps({"series": name, **r}))
            self.version[name] = r["version"]

    def alert(self, a):
        if self.alerts.get(a["id"], -1) < a["version"]:
            self.alerts[a["id"]] = a["version"]
            print(json.dumps({"alert": a["id"], "series": a["series"], "phase": a["phase"], "summary": a.get("summary")}))

    def take(self, kind, p):
        if kind == "subscribed":
            self.columns = p["columns"]
            self.names = {e["i"]: e["series"] for e in p["dictionary"]}
            for gone in self.version.keys() - self.names.values():  # deleted meanwhile
                del self.version[gone]
            self.resumed += 1 if p.get("resumed") else 0
            self.anew += 0 if p.get("resumed") else 1
            print(json.dumps({"subscribed": p["id"], "resumed": p.get("resumed", False)}))
            for a in p["alerts"]:
                self.alert(a)
            self.rows(p["rows"], state=not p.get("resumed"))
            self.greeted = True
        elif kind == "series":
            for i in p.get("removed", []):  # first: one that comes back has the same name
                self.version.pop(self.names.get(i), None)
            self.names.update((e["i"], e["series"]) for e in p.get("added", []))
        elif kind == "updates":
            self.frames += 1
            self.rows(p["rows"], state=False)
        elif kind == "alert":
            self.alert(p)
        elif kind == "error":
            raise SystemExit(f"{p['code']}: {p['message']} ({p.get('path', '')})")
        self.cursor = p.get("cursor", self.cursor)  # stands in frames that leave nothing pending

    async def connection(self):
        headers = {"Authorization": "Bearer " + os.environ["WEIR_TOKEN"]} if "WEIR_TOKEN" in os.environ else {}
        url = os.environ.get("WEIR_URL", "ws://127.0.0.1:7420") + "/v1/live"
        async with websockets.connect(url, additional_headers=headers, subprotocols=["weir.v1.json"], max_size=None) as ws:
            subscribe = {"id": "a", "patterns": self.args.patterns, "max_hz": self.args.max_hz}
            if self.cursor:
                subscribe["cursor"] = self.cursor
            await ws.send(json.dumps({"type": "subscribe", "payload": subscribe}))
            last, self.greeted = self.frames + self.args.cut, False
            async for text in ws:
                message = json.loads(text)
                self.take(message["type"], message["payload"])
                if self.done() or self.frames == last:
                    return
            raise ConnectionError("closed by the server")

    def done(self):
        return self.args.until and self.readings.total() >= self.args.until

    async def run(self):
        tries = 0
        while not self.done():
            began = time.monotonic()
            try:
                await self.connection()
                continue
            except Gap:  # what is missing comes from the cursor on, with the alerts; anew if that has led here before
                self.gaps += 1
                if not self.greeted or self.cursor == self.tried:
                    self.cursor = None
                    print(json.dumps({"missed": "rows and alerts may be missing"}))
                self.tried = self.cursor
            except (OSError, websockets.ConnectionClosed, websockets.InvalidStatus) as e:
                code = getattr(getattr(e, "rcvd", None), "code", 0)
                status = e.response.status_code if isinstance(e, websockets.InvalidStatus) else 503
                if code == 1008 or 4100 <= code < 4300 or status not in (429, 503):
                    raise SystemExit(f"refused: {e}")  # come back with other credentials, or not at all
            tries = 1 if time.monotonic() - began > 60 else tries + 1  # later and later, unless it went well for a while
            await asyncio.sleep(random.uniform(0, min(20, 0.5 * 2 ** min(tries, 6))))
        print(json.dumps({"readings": self.readings, "resumed": self.resumed, "anew": self.anew, "gaps": self.gaps, "frames": self.frames}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="follow series live")
    parser.add_argument("patterns", nargs="+", help="such as plant1/# or plant1/+/temperature")
    parser.add_argument("--max-hz", type=float, default=20)
    parser.add_argument("--until", type=int, help="end after so many readings")
    parser.add_argument("--cut", type=int, default=1 << 60, help="drop the connection after every so many frames")
    asyncio.run(Client(parser.parse_args()).run())
