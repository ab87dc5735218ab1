"""Error codes, names and texts of Mbed TLS, MicroPython, rootlet and modems, as cause and remedy."""

from .readings import Reading, read_arguments, read_text
from .tables import Explanation

__all__ = ["Explanation", "Reading", "read_arguments", "read_text"]
