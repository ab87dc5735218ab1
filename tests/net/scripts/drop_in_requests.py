# A device program: programs that know nothing of rootlet, before and after rootlet.compat.install().
#
# Request, in the environment: cafile (None: the board's own configuration), right and wrong (origins of sites: the second
# has a certificate for another host), plain (an http:// origin), folder. Reports by name what came or how it failed.

import asyncio
import json
import os
import socket
import ssl
import sys

import requests
from requests import get as copied_get, request as copied_request

import mip

request = json.loads(os.getenv("REQUEST"))
right, wrong, folder = request["right"], request["wrong"], request["folder"]
report = {}
sys.path.append(folder)


def note(name, function, *arguments):
    try:
        report[name] = function(*arguments)
    except OSError as error:
        report[name] = type(error).__name__
    except ValueError as error:
        report[name] = "ValueError " + str(error)


def get_text(url):
    response = requests.get(url)
    try:
        return response.text
    finally:
        response.close()


def mip_install(origin):
    mip.install(origin + "/package.json", target=folder)
    with open(folder + "/from_mip.py") as file:
        return file.read()


async def over_asyncio(origin, context, hello):
    """As MicroPython's aiohttp does it."""
    host, port = origin.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        await writer.awrite(hello)
        status = await reader.readline()
        length = 0
        while True:
            line = await reader.readline()
            if not line or line == b"\r\n":
                break
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = b""
        while len(body) < length:
            more = await reader.read(length - len(body))
            if not more:
                break
            body += more
        return str(status.split()[1] + b" " + body, "utf-8")
    finally:
        await reader.aclose()


def asyncio_get(origin, context):
    hello = b"GET /text HTTP/1.0\r\nHost: %s\r\n\r\n" % origin.split("/")[2].encode()
    return asyncio.run(over_asyncio(origin, context, hello))


def wrap_socket(module, origin, **options):
    host, port = origin.split("/")[2].split(":")
    sock = socket.socket()
    sock.connect(socket.getaddrinfo(host, int(port))[0][-1])
    stream = module.wrap_socket(sock, **options)
    stream.write(b"GET /text HTTP/1.0\r\nHost: x\r\n\r\n")
    data = stream.read()
    stream.close()
    return str(data, "utf-8").split("\r\n")[0]


def everything(prefix):
    for name, origin in (("right", right), ("wrong", wrong)):
        name = prefix + " " + name + " "
        note(name + "requests", get_text, origin + "/text")
        note(name + "mip", mip_install, origin)
        note(name + "asyncio", asyncio_get, origin, True)
        note(name + "ssl", lambda: wrap_socket(ssl, origin, server_hostname="localhost"))


everything("before")
import rootlet
from rootlet import compat

report["installed before"] = compat.installed() is not None
context = rootlet.Context(cafile=request["cafile"]) if request["cafile"] else None
context = compat.install(context)
report["installed after"] = compat.installed() is context
everything("after")
note("passed context", asyncio_get, right, context)
note("passed context wrong", asyncio_get, wrong, context)

import urequests
import ussl

note("urequests wrong", lambda: urequests.get(wrong + "/text").status_code)
note("ussl right", lambda: wrap_socket(ussl, right, server_hostname="localhost", cert_reqs=ussl.CERT_NONE))
note("ussl no name", lambda: wrap_socket(ussl, right))
note("ussl key", lambda: wrap_socket(ussl, right, server_hostname="localhost", key=b"x", cert=b"y"))
note("ussl option", lambda: wrap_socket(ussl, right, server_hostname="localhost", ciphers="NULL"))
note("copied before", lambda: copied_get(wrong + "/text").text)
note("copied request before", lambda: copied_request("GET", wrong + "/text").text)

# Installing twice changes nothing.
compat.install(context)
everything("again")

# What programs do with a response.
r = requests.get(right + "/json", headers={"X-Board": b"7", "Host": right.split("/")[2], "Connection": "close"})
with r:
    report["response"] = [r.status_code, str(r.reason, "utf-8"), r.headers["X-Answer"], "x-ANSWER" in r.headers]
    report["response"] += [r.headers.get("None", "-"), r.json(), r.text, str(r.content, "utf-8"), r.encoding]
r = requests.get(right + "/json", stream=True)
buffer = bytearray(4)
report["raw"] = [r.raw.readinto(buffer), str(buffer, "utf-8"), str(r.raw.read(3), "utf-8")]
r.close()
note("closed", lambda: r.text)
r = requests.get(right + "/cut")
note("cut", lambda: r.content)
note("cut again", lambda: r.content)
note("post", lambda: requests.post(right + "/echo", data="ab", headers={"Content-Length": "2"}).text)
note("post json", lambda: requests.post(right + "/echo", json={"a": 1}).text)
note("put chunks", lambda: requests.put(right + "/echo", data=(b"x" * n for n in (1, 2))).text)
note(
    "post length",
    lambda: requests.post(right + "/echo", data=(b"y" for _ in "abc"), headers={"Content-Length": "3"}).text,
)
note("auth", lambda: requests.get(right + "/auth", auth=("user", "password")).text)
note("missing", lambda: requests.get(right + "/missing").status_code)
note("head", lambda: requests.head(right + "/text").content)
note("to http", lambda: requests.get(right + "/to-http").text)
note("plain", lambda: requests.get(request["plain"] + "/text").text)
note("other host", lambda: requests.get(right + "/text", headers={"Host": "other"}).text)
note("time-out", lambda: requests.get(right + "/silent", timeout=0.3).text)
report["head"] = str(report["head"])
print(json.dumps(report))
