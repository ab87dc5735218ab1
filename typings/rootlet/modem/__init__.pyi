from . import at as at
from . import sim800 as sim800
from . import stream as stream
from .at import ModemError as ModemError
from .at import Refused as Refused
from .sim800 import SIM800 as SIM800
