"""Cellular modems that speak AT commands, as transports for `rootlet.connect(…, transport=modem)`."""

from .at import ModemError, Refused
from .sim800 import SIM800

__all__ = ("SIM800", "ModemError", "Refused")
