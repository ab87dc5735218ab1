"""A folder of the computer as the file system of a Unix port, as MicroPython source text."""

from __future__ import annotations

# VfsPosix.rename builds both absolute paths in one buffer, so that the second replaces the first (extmod/vfs_posix.c,
# vfs_posix_get_path_str); a relative path it passes on. No subclass: that would inherit VfsPosix's C interface for
# imports, which takes the instance for a VfsPosix.
FOLDER = """
class Folder:
    def __init__(self, path):
        import vfs
        self.fs = vfs.VfsPosix(path)
        for name in dir(self.fs):
            if name[0] != '_' and name != 'rename':
                setattr(self, name, getattr(self.fs, name))
    def rename(self, old, new):
        if new[:1] == '/':
            here = self.getcwd().strip('/')
            new = '../' * (here.count('/') + 1 if here else 0) + new[1:]
        self.fs.rename(old, new)
"""
