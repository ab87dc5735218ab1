# A device program: downloads what does not fit onto a small disk in memory, then what does.
#
# Request, in the environment: url, cafile, volume ("VfsLfs2" or "VfsFat"). Reports for each attempt: kind and words of the
# error or the bytes; and files (on the disk), open (files and sockets above those in the beginning, without help of the
# collector), idle.

import gc
import json
import os

import rootlet
import vfs
from rootlet import http

request = json.loads(os.getenv("REQUEST"))
url = request["url"]


class Disk:
    def __init__(self, blocks):
        self.data = bytearray(blocks * 512)

    def readblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        self.data[at : at + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        return {4: len(self.data) // 512, 5: 512}.get(operation, 0)


kind = getattr(vfs, request["volume"])
disk = Disk(64)
kind.mkfs(disk)
vfs.mount(kind(disk), "/disk")
context = rootlet.Context(cafile=request["cafile"])
client = http.Client(context, address="127.0.0.1")
attempts = []


def attempt(function):
    try:
        attempts.append([None, function()])
    except OSError as error:
        attempts.append([type(error).__name__, str(error)])


client.get(url + "/small").read()
gc.collect()
before = len(os.listdir("/proc/self/fd"))
gc.disable()
for _ in range(2):
    attempt(lambda: client.download(url + "/big", "/disk/file"))
    attempt(lambda: client.get(url + "/big").save("/disk/other"))
    attempt(lambda: client.download(url + "/small", "/disk/small"))
report = {"attempts": attempts, "files": sorted(os.listdir("/disk")), "open": len(os.listdir("/proc/self/fd")) - before}
print(json.dumps(report))
