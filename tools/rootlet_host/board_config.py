"""The configuration of a board: `rootlet.toml` on the host becomes the compact `rootlet.json` on the board.

What a key may be is said once, in the device's own `rootlet/config.py`, which is loaded here and asked.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import HostError, UsageError
from .files import read_file
from .paths import device_library

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PASSWORD_VARIABLE = "ROOTLET_WIFI_PASSWORD"  # noqa: S105 - the name of a variable
DEFAULT_STORE = "certs/roots.rtlt"
_DEVICE_PACKAGE = "_rootlet_on_the_device"
_MAX_JSON_BYTES = 8192  # what config.py reads


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says. Raises `UsageError` when it cannot be read or is no TOML."""
    try:
        return tomllib.loads(read_file(path, "the configuration").decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        reason = str(error).splitlines()[0] if not isinstance(error, UnicodeError) else "not UTF-8"
        raise UsageError(f"{path} is not TOML: {reason}", remedy="correct it; docs/deploy.md has an example") from error


def check(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """`settings` with every default filled in, checked by the board's own rules.

    Raises `UsageError` that names the key; `where` is the file to correct.
    """
    device = _device_module("config")
    try:
        checked: dict[str, Any] = device.check(settings)
    except Exception as error:
        # Only the device's ConfigError has these; everything else is a fault of ours.
        message = getattr(error, "message", None)
        if message is None:
            raise
        remedy = str(getattr(error, "remedy", ""))
        if remedy.startswith("Correct rootlet.toml"):
            remedy = f"correct {where}; docs/deploy.md lists the keys"
        raise UsageError(f"{where}: {message}", remedy=remedy[:1].lower() + remedy[1:]) from error
    return checked


def compact(settings: dict[str, Any], root: str = "/") -> bytes:
    """The content of rootlet.json: only what was given, without spaces.

    `root` is where the board's internal file system is mounted; the store's default path lies there.
    """
    if root != "/" and "stores" not in settings:
        settings = {**settings, "stores": [root.rstrip("/") + "/" + DEFAULT_STORE]}
    data = json.dumps(settings, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    if len(data) > _MAX_JSON_BYTES:
        raise UsageError(
            f"the configuration has {len(data)} bytes, the board reads {_MAX_JSON_BYTES}", remedy="shorten it"
        )
    return data


def with_password(
    settings: dict[str, Any],
    path: Path,
    on_board: dict[str, Any] | None,
    ask: Callable[[str], str] | None,
) -> tuple[dict[str, Any], str]:
    """`settings` with the Wi-Fi password, and where it came from in words ("" if none is needed).

    In this order: the environment, the file, the board (if it knows the same network), `ask(ssid)`. A file that git
    keeps must not hold one. Raises `UsageError` when there is none; an empty one stands for an open network.
    """
    network = settings.get("network")
    if not isinstance(network, dict) or network.get("kind") != "wifi":
        return settings, ""
    if "password" in network and _is_in_git(path):
        raise UsageError(
            f"{path} holds network.password and is kept by git",
            remedy=f"take it out and set {PASSWORD_VARIABLE}; change the password if it was published",
        )
    before = on_board.get("network") if on_board else None
    if PASSWORD_VARIABLE in os.environ:
        password, source = os.environ[PASSWORD_VARIABLE], f"from {PASSWORD_VARIABLE}"
    elif "password" in network:
        return settings, f"from {path}"
    elif isinstance(before, dict) and before.get("ssid") == network.get("ssid") and "password" in before:
        password, source = str(before["password"]), "kept, as it is on the board"
    elif ask is not None:
        password, source = ask(str(network.get("ssid", ""))), "as typed"
    else:
        raise UsageError(
            "the password of the Wi-Fi is not known",
            remedy=f"set {PASSWORD_VARIABLE} (empty for an open network), or run this in a terminal to be asked",
        )
    return {**settings, "network": {**network, "password": password}}, source


def _is_in_git(path: Path) -> bool:
    command = ["git", "ls-files", "--error-unmatch", "--", path.name]
    try:
        done = subprocess.run(command, cwd=path.resolve().parent, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False  # no git: nothing is kept by it
    return done.returncode == 0


def _device_module(name: str) -> Any:
    """A module of the device package that CPython can run, without the package itself, which needs module tls."""
    folder = device_library() / "rootlet"
    if _DEVICE_PACKAGE not in sys.modules:
        package = types.ModuleType(_DEVICE_PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[_DEVICE_PACKAGE] = package
    try:
        return importlib.import_module(f"{_DEVICE_PACKAGE}.{name}")
    except ImportError as error:
        raise HostError(f"{folder / name}.py cannot be loaded: {error}", remedy="reinstall rootlet") from error
