"""Sends values as readings, one frame each: websocket_device.py 21.5 22"""

import asyncio
import json
import os
import sys
import time

import websockets


async def main():
    headers = {"Authorization": "Bearer " + os.environ["DEVICE_KEY"]}
    boot = str(time.time_ns())  # a new session for each start: frames of an old one would be duplicates
    async with websockets.connect(os.environ["SERVER_URL"] + "/v1/ingest", additional_headers=headers) as ws:
        for seq, value in enumerate(sys.argv[1:], start=1):
            reading = {"metric": "temperature", "ts": time.time(), "value": float(value)}
            await ws.send(json.dumps({"session": boot, "seq": seq, "readings": [reading]}))
            print(await ws.recv(), flush=True)  # the receipt: sent once Kafka has acknowledged


asyncio.run(main())
