"""The network and the USB ports that programs of the computer find in the sandbox. Python imports this by itself.

The variable ROOTLET_DOCS_WORLD names a JSON file: `hosts` ("name:port": port on loopback), `attached` (serial ports:
device, vid, pid), `roots` (a file that stands for certifi's), `drives` (folders that are USB drives).
Whatever is not in it does not exist: nothing here reaches the real network.
"""

import json
import os
import socket
import sys
from types import SimpleNamespace

with open(os.environ["ROOTLET_DOCS_WORLD"], encoding="utf-8") as _file:
    _world = json.load(_file)

_getaddrinfo = socket.getaddrinfo


def _mapped(host, port, *arguments, **options):
    if isinstance(host, bytes):
        host = host.decode()
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        if f"{host}:{port}" not in _world["hosts"]:
            raise socket.gaierror(socket.EAI_NONAME, f"{host}:{port} is not in the sandbox")
        host, port = "127.0.0.1", _world["hosts"][f"{host}:{port}"]
    return _getaddrinfo(host, port, *arguments, **options)


socket.getaddrinfo = _mapped


class _Patches:
    """Changes modules when somebody imports them, not before: most programs never do."""

    def find_spec(self, name, path=None, target=None):
        if name in ("certifi", "serial.tools.list_ports", "rootlet_host.flash.stlink_drive"):
            from importlib.machinery import PathFinder

            spec = PathFinder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                load = spec.loader.exec_module
                spec.loader.exec_module = lambda module: (load(module), _patch(module))
            return spec
        return None


def _patch(module):
    if module.__name__ == "certifi":
        module.where = lambda: _world["roots"]
    elif module.__name__ == "serial.tools.list_ports":
        fields = {"serial_number": None, "manufacturer": None, "product": None}
        module.comports = lambda *_, **__: [SimpleNamespace(**fields, **port) for port in _world["attached"]]
    else:
        from pathlib import Path

        module._mount_points = lambda: [Path(drive) for drive in _world["drives"]]


sys.meta_path.insert(0, _Patches())
