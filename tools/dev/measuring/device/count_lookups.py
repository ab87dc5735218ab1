# Looks every issuer Name up in a store. Request: store, names (file: each Name after two bytes of length), rounds.
# Prints lookups per second (from the file system of this machine), the reads of the file that a lookup makes, and the
# block reads on a littlefs of 4 KB blocks on a RAM disk, as a board's flash has it.

import json
import sys
from time import ticks_diff, ticks_us

import rootlet.store
import vfs

BLOCK = 4096


class CountingFile:
    def __init__(self, path, mode):
        self._file = open(path, mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def seek(self, *arguments):
        return self._file.seek(*arguments)

    def read(self, n):
        counts.reads += 1
        return self._file.read(n)

    def readinto(self, buffer):
        counts.reads += 1
        return self._file.readinto(buffer)


class RAMDisk:
    def __init__(self, blocks):
        self._data = bytearray(blocks * BLOCK)

    def readblocks(self, n, buffer, offset=0):
        counts.block_reads += 1
        at = n * BLOCK + offset
        buffer[:] = memoryview(self._data)[at : at + len(buffer)]

    def writeblocks(self, n, buffer, offset=0):
        at = n * BLOCK + offset
        self._data[at : at + len(buffer)] = buffer

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self._data) // BLOCK
        if operation == 5:
            return BLOCK
        return 0


class counts:
    reads = block_reads = 0


def load_names(path):
    with open(path, "rb") as file:
        while True:
            size = file.read(2)
            if not size:
                return
            yield file.read(size[0] << 8 | size[1])


request = json.loads(sys.argv[1])
names = list(load_names(request["names"]))
store = rootlet.TrustStore(request["store"])

began = ticks_us()
for _ in range(request["rounds"]):
    for name in names:
        if not store.lookup(name):
            raise OSError("a name was not found")
rate = request["rounds"] * len(names) * 1000000 / ticks_diff(ticks_us(), began)


def count(store, kind):
    # (mean, most) of what a look-up of each name adds to `counts`.
    most = total = 0
    for name in names:
        setattr(counts, kind, 0)
        store.lookup(name)
        added = getattr(counts, kind)
        total += added
        most = max(most, added)
    return total / len(names), most


rootlet.store.open = CountingFile
reads, most_reads = count(store, "reads")
del rootlet.store.open

disk = RAMDisk(64)
vfs.VfsLfs2.mkfs(disk, progsize=256, readsize=32)
vfs.mount(vfs.VfsLfs2(disk, progsize=256, readsize=32), "/flash")
with open(request["store"], "rb") as source, open("/flash/roots.rtlt", "wb") as copy:
    copy.write(source.read())
block_reads, most_block_reads = count(rootlet.TrustStore("/flash/roots.rtlt"), "block_reads")

print(
    json.dumps(
        {
            "names": len(names),
            "per_second": rate,
            "reads": reads,
            "most_reads": most_reads,
            "block_reads": block_reads,
            "most_block_reads": most_block_reads,
        }
    )
)
