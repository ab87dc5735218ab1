# A device program: evaluates expressions that ask for something wrong, and reports what each raises.
#
# Request, in the environment: url, cafile, cases (texts). Reports for each case: kind, words; and files that stayed open.

import asyncio
import gc
import json
import os
import socket

import rootlet
from rootlet import http, requests

request = json.loads(os.getenv("REQUEST"))
url = request["url"]
cafile = request["cafile"]
context = rootlet.Context(cafile=cafile)
requests.context = context


def client(**options):
    return http.Client(context, address="127.0.0.1", **options)


def get(**options):
    return http.get(url, context, address="127.0.0.1", **options)


def opened(**options):
    host, port, _ = http.split_url(url)
    return asyncio.run(rootlet.open_connection(host, port, context, address="127.0.0.1", **options))


def connected(**options):
    host, port, _ = http.split_url(url)
    return rootlet.connect(host, port, context, address="127.0.0.1", **options)


def upgraded(**options):
    return rootlet.upgrade(socket.socket(), "board.example.org", context, **options)


def upgraded_in_asyncio(**options):
    class Stream:
        s = socket.socket()

    return asyncio.run(rootlet.aio.upgrade(Stream, "board.example.org", context, **options))


def open_files():
    return len(os.listdir("/proc/self/fd"))


reports = []
for case in request["cases"]:
    before = open_files()
    try:
        eval(case, globals())
        report = ["nothing", ""]
    except Exception as error:
        report = [type(error).__name__, str(error)]
    gc.collect()
    reports.append(report + [open_files() - before])
print(json.dumps(reports))
