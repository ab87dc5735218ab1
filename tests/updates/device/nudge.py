# A device program: waits for a retained MQTT message with a sequence and gives it to an Updater, as an application with
# umqtt would. Prints in JSON what came of it.
#
# Arguments: port of the broker, path of the store.

import json
import socket
import sys

from rootlet.slots import Slots
from rootlet.updater import Updater

TOPIC = b"rootlet/sequence"


def packet(kind, body):
    return bytes((kind, len(body))) + body


def receive(sock):
    # Kind and body of the next packet (MQTT 3.1.1, 2.2); short ones only.
    kind = sock.read(1)[0]
    return kind, sock.read(sock.read(1)[0])


updater = Updater(Slots(sys.argv[2]), "http://127.0.0.1:9/", period_s=86400)
updater.pace.done(True)
updater.pace._quiet_ms = 0  # as ten minutes later
before_s = updater.pace.left_s()
sock = socket.socket()
sock.connect(socket.getaddrinfo("127.0.0.1", int(sys.argv[1]))[0][-1])
sock.write(packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x05board"))
kind, body = receive(sock)
assert (kind, body) == (0x20, b"\x00\x00"), body
sock.write(packet(0x82, b"\x00\x01" + bytes((0, len(TOPIC))) + TOPIC + b"\x00"))
payload = None
while payload is None:
    kind, body = receive(sock)
    if kind & 0xF0 == 0x30:
        payload = body[2 + len(TOPIC) :]
        retained = kind & 1
sock.close()
heeded = updater.nudge(payload)
after_s = updater.pace.left_s()
print(
    json.dumps(
        {
            "before_s": before_s,
            "after_s": after_s,
            "heeded": heeded,
            "retained": retained,
            "nonsense": [
                updater.nudge(word) for word in (b"", b"x", b"99999999999999", "7", None, b"\xff", -1, 6, b"5")
            ],
        }
    )
)
