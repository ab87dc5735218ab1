"""Host side of rootlet: the command `rootlet` and the library behind it."""

__version__ = "0.1.0"
