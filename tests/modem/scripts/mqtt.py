# A device program: an MQTT 3.1.1 session over verified TLS through a modem. It subscribes to a topic, publishes to it
# with QoS 1, and prints the message that comes back. Request: pty, cafile, host, port, message, count.

import json
import struct
import sys

from pty_uart import PtyUart

import rootlet
from rootlet.modem import SIM800

TOPIC = b"board/echo"


def packet(kind, body):
    length = len(body)
    head = bytearray([kind])
    while True:
        head.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(head) + body


def text(data):
    return struct.pack(">H", len(data)) + data


def receive(stream):
    head = stream.read(1)
    length = shift = 0
    while True:
        byte = stream.read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return head[0], stream.read(length) if length else b""


request = json.loads(sys.argv[1])
message = request["message"].encode() * 50
modem = SIM800(PtyUart(request["pty"]), apn="internet")
modem.up()
context = rootlet.Context(cafile=request["cafile"])
back = []
with rootlet.connect(request["host"], request["port"], context, transport=modem, timeout_ms=20000) as c:
    c.write(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x3c" + text(b"board")))
    assert receive(c) == (0x20, b"\x00\x00")
    c.write(packet(0x82, b"\x00\x01" + text(TOPIC) + b"\x00"))
    assert receive(c)[0] == 0x90
    for n in range(request["count"]):
        c.write(packet(0x32, text(TOPIC) + struct.pack(">H", n + 2) + message))
        acknowledged = received = False
        while not (acknowledged and received):
            kind, body = receive(c)
            if kind == 0x40:
                acknowledged = body == struct.pack(">H", n + 2)
            elif kind == 0x30:
                received = True
                back.append(str(body[2 + len(TOPIC) :], "utf-8"))
    c.write(b"\xe0\x00")
print(json.dumps({"back": back, "sent": modem.channel.sent, "received": modem.channel.received}))
