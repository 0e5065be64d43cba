#!/usr/bin/env python3
"""Sends a message to a room: by POST /v1/publish, or with --kafka as a record on weir.messages.

WEIR_URL=http://127.0.0.1:7420 WEIR_TOKEN=weir_… python3 publish.py plant1/ops 'the pump is on'
pip install confluent-kafka; python3 publish.py --kafka 127.0.0.1:9092 plant1/ops 'the pump is on'
"""

import argparse, json, os, urllib.request, uuid


def publish(message):
    """Returns the version. The same id may be sent again: the answer is the first's version."""
    body = {"target": {"room": message["room"]}, "type": message["type"], "payload": message["payload"], "id": message["id"]}
    request = urllib.request.Request(os.environ.get("WEIR_URL", "http://127.0.0.1:7420") + "/v1/publish",
                                     json.dumps(body).encode(), {"Content-Type": "application/json"})
    if token := os.environ.get("WEIR_TOKEN"):
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["version"]


def produce(brokers, message):
    """Writes the record: its key is the room, which Java's partitioner takes to the right partition."""
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2", "enable.idempotence": True})
    offset = []
    value = {"v": 1, "type": "message", "message": message | {"from": {"user": "plant1/_users/robot"}}}
    producer.produce("weir.messages", json.dumps(value), message["room"],
                     on_delivery=lambda error, record: offset.append(error or record.offset()))
    producer.flush()
    if not isinstance(offset[0], int):
        raise SystemExit(offset[0])
    return offset[0] << 12 | 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("room")
    parser.add_argument("text")
    parser.add_argument("--kafka", help="brokers, HOST:PORT,…")
    args = parser.parse_args()
    sent = {"room": args.room, "id": uuid.uuid4().hex, "type": "chat", "payload": {"text": args.text}}
    print(produce(args.kafka, sent) if args.kafka else publish(sent))
