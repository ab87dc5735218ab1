# What the 32-bit builds have as a module of the same name, where heap_peak.c of this folder is loaded.

from os import getenv


def _ask(name):
    return int(getenv("heap_peak." + name))


def start():
    _ask("start")


def stop():
    _ask("stop")


def peak():
    return _ask("peak")


def python_peak():
    return _ask("python_peak")


def tls_peak():
    return _ask("tls_peak")


def tls_used():
    return _ask("tls_used")
