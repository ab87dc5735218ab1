# A device program: talks to an MQTT broker through a client of somebody else, over rootlet's connections.
#
# Request, in the environment: how, host, port, context (options), message, count; user, password.
#   how     "simple", "simple2" (rootlet.compat), "aiomqttc" (ssl=context), "aiomqttc-compat" (ssl=True),
#           "convention" (how newer umqtt.simple uses a context: see below)
#   visited: rootlet has connected there before, with the same context
# Subscribes to a topic, publishes `message` there `count` times and reports what came back; or the error.

import asyncio
import builtins
import json
import os
import socket
import struct
import sys
import time

import rootlet
from rootlet import compat

request = json.loads(os.getenv("REQUEST"))
host, port, message, count = request["host"], request["port"], request["message"].encode(), request["count"]
report = {"kind": None, "back": [], "empty_checks": 0}


def heard(topic, text, *_):
    report["back"].append(str(text, "utf-8"))


def blocking(client):
    client.set_callback(heard)
    client.connect()
    client.subscribe(b"board/topic")
    deadline = time.ticks_add(time.ticks_ms(), 10_000)
    for i in range(count):
        client.publish(b"board/topic", message)
        while len(report["back"]) <= i and time.ticks_diff(deadline, time.ticks_ms()) > 0:
            client.wait_msg()
    # When nothing has come, check_msg must return at once.
    started = time.ticks_ms()
    for _ in range(3):
        if client.check_msg() is None:
            report["empty_checks"] += 1
    report["check_ms"] = time.ticks_diff(time.ticks_ms(), started)
    client.ping()
    client.wait_msg()
    client.disconnect()


class Convention:
    """What umqtt.simple 1.4 and later do with `ssl`: wrap_socket of whatever it is, then read, write and setblocking."""

    def __init__(self, context):
        self.context = context

    def set_callback(self, callback):
        self.callback = callback

    def connect(self):
        self.sock = socket.socket()
        self.sock.connect(socket.getaddrinfo(host, port)[0][-1])
        self.sock = self.context.wrap_socket(self.sock, server_hostname=host)
        flags = 2
        fields = [b"rootlet"]
        if "user" in request:
            flags |= 0xC0
            fields += [request["user"].encode(), request["password"].encode()]
        body = b"\0\4MQTT\4" + bytes([flags]) + b"\0\x3c" + b"".join(struct.pack("!H", len(f)) + f for f in fields)
        self.sock.write(b"\x10" + bytes([len(body)]), 2)
        self.sock.write(body)
        answer = self.sock.read(4)
        if answer != b"\x20\2\0\0":
            raise OSError(answer[3] if len(answer) == 4 else -1)

    def subscribe(self, topic):
        self.sock.write(b"\x82" + bytes([5 + len(topic)]) + b"\0\1" + struct.pack("!H", len(topic)) + topic + b"\0")
        if self.wait_msg() != 0x90:
            raise OSError(-1)

    def publish(self, topic, text):
        size = 2 + len(topic) + len(text)
        head = b"\x30"
        while size > 127:
            head += bytes([size & 127 | 128])
            size >>= 7
        self.sock.write(head + bytes([size]) + struct.pack("!H", len(topic)) + topic)
        self.sock.write(text)

    def ping(self):
        self.sock.write(b"\xc0\0")

    def check_msg(self):
        self.sock.setblocking(False)
        return self.wait_msg()

    def wait_msg(self):
        first = self.sock.read(1)
        self.sock.setblocking(True)
        if first is None:
            return None
        if first == b"":
            raise OSError(-1)
        size = shift = 0
        while True:
            byte = self.sock.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = self.sock.read(size) if size else b""
        if len(body) < size:
            raise OSError(-1)
        if first[0] & 0xF0 == 0x30:
            n = struct.unpack("!H", body)[0]
            self.callback(body[2 : 2 + n], body[2 + n :])
        return first[0]

    def disconnect(self):
        self.sock.write(b"\xe0\0")
        self.sock.close()


async def with_aiomqttc(ssl):
    # It catches TimeoutError, which MicroPython has in asyncio only.
    builtins.TimeoutError = asyncio.TimeoutError
    import aiomqttc

    class Clock:  # boards have it in module machine; the Unix port has not
        def datetime(self):
            year, month, day, hour, minute, second, weekday = time.gmtime()[:7]
            return year, month, day, weekday, hour, minute, second, 0

    aiomqttc.hal_rtc = Clock
    client = aiomqttc.MQTTClient("rootlet", host, port, request.get("user"), request.get("password"), ssl=ssl)

    async def on_message(client, topic, text, retained):
        heard(topic, text)

    client.on_message = on_message
    await client.connect()
    await client.subscribe("board/topic", 0)
    for i in range(count):
        await client.publish("board/topic", request["message"])
        for _ in range(300):
            if len(report["back"]) > i:
                break
            await asyncio.sleep_ms(10)
    await client.disconnect()


def go(context):
    how = request["how"]
    if request["visited"]:
        try:
            rootlet.connect(host, port, context).close()
        except rootlet.TLSError:
            pass  # the client, too, shall find out
    # Instead of what the client says while it works.
    user = {"user": request.get("user"), "password": request.get("password")}
    if how == "simple":
        from umqtt.simple import MQTTClient

        compat.install(context)
        blocking(MQTTClient(b"rootlet", host, port, ssl=True, ssl_params={"server_hostname": host}, **user))
    elif how == "simple2":
        from umqtt.simple2 import MQTTClient

        compat.install(context)
        blocking(MQTTClient(b"rootlet", host, port, ssl=True, ssl_params={"server_hostname": host}, **user))
    elif how == "convention":
        blocking(Convention(context))
    elif how == "aiomqttc":
        asyncio.run(with_aiomqttc(context))
    elif how == "aiomqttc-compat":
        compat.install(context)
        asyncio.run(with_aiomqttc(True))


try:
    go(rootlet.Context(**request["context"]))
except Exception as error:
    report["kind"] = type(error).__name__
    report["message"] = str(error)
    if not isinstance(error, (OSError, ValueError)):
        sys.print_exception(error)
print(json.dumps(report))
