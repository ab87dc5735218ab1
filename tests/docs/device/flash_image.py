# A file of the computer as flash, with the file system that boards have. Also a device program that fills one:
# flash_image.py IMAGE FOLDER copies everything in FOLDER.

import os
import sys

import vfs

_BLOCK = 4096


class Flash:
    def __init__(self, path):
        self._file = open(path, "r+b")
        self._blocks = self._file.seek(0, 2) // _BLOCK

    def readblocks(self, n, buf, off=0):
        self._file.seek(n * _BLOCK + off)
        self._file.readinto(buf)

    def writeblocks(self, n, buf, off=0):
        self._file.seek(n * _BLOCK + off)
        self._file.write(buf)

    def ioctl(self, op, arg):
        return {4: self._blocks, 5: _BLOCK}.get(op, 0)


def copy(fs, folder, target):
    for entry in os.ilistdir(folder):
        name, kind = entry[0], entry[1]
        source, destination = folder + "/" + name, target + "/" + name
        if kind == 0x4000:
            try:
                fs.mkdir(destination)
            except OSError:
                pass  # it is there
            copy(fs, source, destination)
        else:
            with open(source, "rb") as file, fs.open(destination, "wb") as out:
                out.write(file.read())


if __name__ == "__main__":
    flash = Flash(sys.argv[1])
    try:
        fs = vfs.VfsLfs2(flash)
    except OSError:
        vfs.VfsLfs2.mkfs(flash)
        fs = vfs.VfsLfs2(flash)
    copy(fs, sys.argv[2], "")
    fs.umount()
