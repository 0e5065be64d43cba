#!/usr/bin/env python3
"""What an idle device connection costs `weir serve` in memory: RSS growth per connection, plain, no deflate.

usage: idle-connections.py HOST PORT CONNECTIONS KEY PID [known]

Opens 200 connections, each naming a device of its own, then so many more, and prints what each of those has added; then
sends one frame on each and prints again. With `known`, a frame of each device is stored beforehand over one other
connection, so that what the pipeline and the registry remember of a device is not in the numbers.
"""
import base64
import os
import socket
import struct
import sys
import time

FIRST = 200


def frame(payload):
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    return b"\x81" + size + bytes(4) + payload


def main():
    host, port, count, key, pid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]

    def rss():
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def connect(device):
        s = socket.create_connection((host, port))
        nonce = base64.b64encode(os.urandom(16)).decode()
        s.sendall((f"GET /v1/ingest?device=plant1/{device} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                   f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n"
                   f"X-API-Key: {key}\r\n\r\n").encode())
        assert b" 101 " in s.recv(4096)
        return s

    if sys.argv[6:] == ["known"]:
        seed = connect("seed")
        for at in range(0, FIRST + count, 100):
            readings = ",".join(f'{{"device":"plant1/d{i}","metric":"t","value":1}}' for i in range(at, min(at + 100, FIRST + count)))
            seed.sendall(frame(f"[{readings}]".encode()))
            seed.recv(4096)
        time.sleep(15)
    first = [connect(f"d{i}") for i in range(FIRST)]
    time.sleep(2)
    base = rss()
    opened = [connect(f"d{i}") for i in range(FIRST, FIRST + count)]
    time.sleep(12)
    print(f"idle: {(rss() - base) / count:.1f} KiB per connection ({base} KiB before)")
    for s in opened:
        s.sendall(frame(b'{"metric":"t","value":1}'))
    time.sleep(3)
    for s in opened:
        assert s.recv(4096)
    time.sleep(1)
    print(f"after a frame each: {(rss() - base) / count:.1f} KiB per connection")
    del first


main()
