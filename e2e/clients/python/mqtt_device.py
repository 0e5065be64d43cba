"""Publishes values with QoS 1, then answers commands until it is stopped: mqtt_device.py DEVICE 21.5 22"""

import json
import os
import sys
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

device, values = sys.argv[1], sys.argv[2:]
version = mqtt.MQTTv5 if os.environ.get("MQTT_VERSION") == "5" else mqtt.MQTTv311


def on_connect(client, userdata, flags, reason, properties):
    print("connected:", reason, flush=True)
    client.subscribe(device + "/_commands", qos=1)
    for value in values:
        client.publish(device + "/temperature", value, qos=1)


def on_publish(client, userdata, mid, reason, properties):
    print("acknowledged:", mid, reason, flush=True)  # sent once Kafka has acknowledged


def on_message(client, userdata, message):
    command = json.loads(message.payload)
    result = {"ok": True, "result": {"did": command["name"]}}
    client.publish(f"{message.topic}/{command['id']}/result", json.dumps(result), qos=1)


url = urlsplit(os.environ["SERVER_URL"])  # ws://host:7420 or wss://…
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version, transport="websockets")
client.ws_set_options(path="/mqtt")
if url.scheme == "wss":
    client.tls_set()
client.username_pw_set("device", os.environ["DEVICE_KEY"])  # the user name may be anything
client.on_connect, client.on_publish, client.on_message = on_connect, on_publish, on_message
client.connect(url.hostname, url.port, keepalive=30)
client.loop_forever()
