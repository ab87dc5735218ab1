"""Host side of rootlet: the command `rootlet` and the library behind it."""

from .paths import device_version

__version__ = device_version()
