# A device program: runs the Python blocks of a page, one after another, as one program.
#
# Arguments: an image of the board's flash, and a file: [{"place": …, "code": …}, …]. Before what a block prints comes a
# line with \x1e and the block's place; an exception ends everything with its traceback.

import json
import os
import sys

import vfs

sys.path.append(sys.argv[0].rpartition("/")[0])
from flash_image import Flash

with open(sys.argv[2]) as _file:
    _blocks = json.load(_file)

_fs = vfs.VfsLfs2(Flash(sys.argv[1]))
vfs.umount("/")
vfs.mount(_fs, "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]

import socket

sys.modules["usocket"] = socket  # the old name of the same module

_names = {"__name__": "__main__"}


def _compiled(place, code):
    try:
        return compile(code, place, "exec")
    except SyntaxError:
        # What waits stands in a coroutine of the reader's program.
        inner = "\n".join("    " + line for line in code.split("\n"))
        return compile("import asyncio\nasync def _block():\n%s\nasyncio.run(_block())\n" % inner, place, "exec")


for _block in _blocks:
    print("\x1e" + _block["place"])
    exec(_compiled(_block["place"], _block["code"]), _names)
